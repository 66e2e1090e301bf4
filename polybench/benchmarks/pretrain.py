"""pretrain: what an activation buys in held-out loss, and what that costs in time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.axes import LanguageAxes, LanguageProtocol, training_seconds
from polybench.cell import Trial
from polybench.errors import Diverged
from polybench.kind import Fact, Item, Progress
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import benchmarks

VAL_LOSS = Metric("val_loss", "nat/token", "lower", "seed", "Held-out loss after the last step.")
BITS_PER_BYTE = Metric(
    "bits_per_byte", "bit/byte", "lower", "seed",
    "Held-out loss in bits over the bytes its tokens stand for; comparable between tokenizers.",
)  # fmt: skip
THROUGHPUT = Metric(
    "tokens_per_s", "token/s", "higher", "seed",
    "Trained tokens over the time of the training steps; on one CPU thread, that thread's CPU time.",
)  # fmt: skip
PEAK = Metric(
    "step_peak_bytes", "B", "lower", "nothing",
    "Most bytes alive in forward and backward of one training step, above what was resident before.",
)  # fmt: skip
PARAMETERS = Metric("parameters", "1", "neither", "nothing", "Trained numbers of the decoder.")
VAL_CURVE = Metric("val_curve", "nat/token", "lower", "seed", "Held-out loss as training goes on.", curve=True)
TRAIN_TIME = Metric(
    "train_time", "s", "lower", "seed", "Time of the training steps up to each look at the held-out loss.", curve=True
)


@benchmarks.register(
    "pretrain",
    axes=LanguageAxes,
    protocol=LanguageProtocol,
    metrics=(VAL_LOSS, BITS_PER_BYTE, THROUGHPUT, PEAK, PARAMETERS, VAL_CURVE, TRAIN_TIME),
    version=1,
    repeats="seeds",
    seconds=lambda axes, protocol: (
        training_seconds(axes) + axes.eval_tokens * protocol.evaluations * training_seconds(axes) / axes.tokens / 3
    ),
)
def pretrain(trials: Sequence[Trial], axes: LanguageAxes, protocol: LanguageProtocol) -> Iterator[tuple[int, Item]]:
    """Held-out loss in nats and bits per byte, tokens/s and peak memory of a small decoder's training."""
    from polybench.allocation import peak_bytes
    from polybench.corpus import tokens
    from polybench.training import evaluate, one_step, set_up, train

    cell, seed = trials[0].cell, trials[0].seed
    text = tokens(axes.corpus, axes.tokenizer)
    yield 0, Fact("corpus", text.hash)
    model = set_up(text, axes, cell.activation, cell.backend, cell.device, cell.dtype, seed)
    yield 0, Measurement(PARAMETERS.name, (float(sum(p.numel() for p in model.parameters())),))
    one_step(model, text, axes, cell.dtype)  # lazy workspaces exist from here on
    peak = peak_bytes(lambda: one_step(model, text, axes, cell.dtype), cell.device)
    yield 0, Measurement(PEAK.name, (float(peak),))

    looks = {max(1, round(axes.steps * (i + 1) / protocol.evaluations)) for i in range(protocol.evaluations)}
    first, _ = evaluate(model, text, axes, cell.dtype)
    steps, curve, times, seconds, bits = [0], [first], [0.0], 0.0, 0.0
    problem: Exception | None = None
    try:
        for number, step in enumerate(train(model, text, axes, cell.dtype, seed), 1):
            seconds += step.seconds
            if number in looks:
                loss, bits = evaluate(model, text, axes, cell.dtype)
                steps.append(number)
                curve.append(loss)
                times.append(seconds)
            yield 0, Progress(number / axes.steps)
    except Diverged as diverged:
        problem = diverged
    yield 0, Measurement(VAL_CURVE.name, tuple(curve), tuple(steps))
    yield 0, Measurement(TRAIN_TIME.name, tuple(times), tuple(steps))
    if problem is None and not curve[-1] <= first:
        problem = Diverged(f"the held-out loss ended at {curve[-1]:.3f}, above its start of {first:.3f}")
    if problem:
        yield 0, problem
        return
    yield 0, Measurement(VAL_LOSS.name, (curve[-1],))
    yield 0, Measurement(BITS_PER_BYTE.name, (bits,))
    yield 0, Measurement(THROUGHPUT.name, (axes.tokens / seconds,))
