"""pretrain: what an activation buys in held-out loss, and what that costs in time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from polybench.errors import Diverged, OverBudget
from polybench.kind import Fact, Item, Measured, Progress
from polybench.measure.annealing import looks
from polybench.measure.axis_types import corpora_of
from polybench.measure.ran_metrics import RAN
from polybench.measure.training_axes import GLANCE, TrainingAxes, TrainingProtocol, training_seconds
from polybench.measure.training_metrics import (
    CLIPPED,
    COMPILE,
    DERIVED,
    DIVIDED,
    DYNAMICS,
    FIRST_COSINE,
    FLOPS,
    LATER_COSINE,
    LEARNING_RATE,
    PER_STEP,
    PRODUCT_RATE,
    SHARED,
    SIDES,
    SPEED_UP,
    UTILISATION,
)
from polybench.metric import Metric, Price, Question
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Trial

VAL_LOSS = Metric(
    "val_loss", "nat/token", "lower", "seed", "Held-out loss after the last step.",
    asked=Question("At equal tokens", "the lowest held-out loss"), header="held-out loss",
    title="held-out loss at equal tokens", by_seed=True,
)  # fmt: skip
BITS_PER_BYTE = Metric(
    "bits_per_byte", "bit/byte", "lower", "seed",
    "Held-out loss in bits over the bytes its tokens stand for; comparable between tokenizers.",
)  # fmt: skip
OTHER_LOSSES = Metric(
    "other_losses", "nat/token", "lower", "seed",
    "Loss after the last step on each of the further corpora, in the order in which the suite names them.",
    curve=True, along="corpus",
)  # fmt: skip
OTHERS = Metric("others_loss", "nat/token", "lower", "seed", "Mean loss over the further corpora after the last step.")
THROUGHPUT = Metric(
    "tokens_per_s", "token/s", "higher", "seed",
    "Trained tokens over the time of the training steps; on one CPU thread, that thread's CPU time.",
    asked=Question("In training speed", "the most tokens a second", rank=3), header="training tokens/s",
    cost=Price("time", "Training time a token"),
)  # fmt: skip
PEAK = Metric(
    "step_peak_bytes", "B", "lower", "nothing",
    "Most bytes alive in forward and backward of a process's micro-batch, as it is trained, above what was before.",
    asked=Question("In memory of a training step", "the lowest peak", rank=3), header="peak of a training step",
    cost=Price("memory", "Peak memory of a training step"),
)  # fmt: skip
PARAMETERS = Metric("parameters", "1", "neither", "nothing", "Trained numbers of the decoder.")
VAL_CURVE = Metric(
    "val_curve", "nat/token", "lower", "seed",
    f"Held-out loss as training goes on, over {GLANCE:,} tokens at most, at the end too.", curve=True,
    title="held-out loss",
)  # fmt: skip
TRAIN_TIME = Metric(
    "train_time", "s", "lower", "seed", "Time of the training steps up to each look at the held-out loss.", curve=True
)
FINISHED_CURVE = Metric(
    "finished_curve", "nat/token", "lower", "seed",
    "Held-out loss of finished trainings by their number of steps: each left the same plateau and its rate fell to "
    "nothing. The last is val_loss.", "arXiv:2405.18392", curve=True, title="held-out loss of finished trainings",
)  # fmt: skip
FINISHED_TIME = Metric(
    "finished_time", "s", "lower", "seed",
    "Time of the training steps of each finished training: those of the plateau up to where it left, and its own.",
    curve=True,
)  # fmt: skip
EVALUATED = Metric(
    "held_out_tokens", "token", "neither", "nothing", "Held-out tokens that the loss after the last step is over."
)


@kinds.register(
    "pretrain",
    axes=TrainingAxes,
    protocol=TrainingProtocol,
    metrics=(
        VAL_LOSS, BITS_PER_BYTE, OTHERS, THROUGHPUT, UTILISATION, PEAK, PARAMETERS, FLOPS, LEARNING_RATE, CLIPPED,
        COMPILE, PRODUCT_RATE, EVALUATED, VAL_CURVE, TRAIN_TIME, FINISHED_CURVE, FINISHED_TIME, OTHER_LOSSES, *PER_STEP,
        *DYNAMICS, *RAN,
    ),
    version=2,
    repeats="seeds",
    seconds=training_seconds,
    objective="val_loss",
    derived=(*DERIVED, SPEED_UP, FIRST_COSINE, LATER_COSINE),
)  # fmt: skip
def pretrain(trials: Sequence[Trial], axes: TrainingAxes, protocol: TrainingProtocol) -> Iterator[tuple[int, Item]]:
    """Held-out loss in nats and bits per byte, tokens/s and peak memory of a small decoder's training."""
    from polybench.corpora.corpus import held_out as other_text
    from polybench.measure.instruments.allocation import peak_bytes
    from polybench.measure.training.course import Course
    from polybench.measure.training.dynamics import Observer
    from polybench.measure.training.evaluation import held_out_loss, sample
    from polybench.measure.training.utilisation import product_rate

    (trial,) = trials
    filled, dtype, device = axes.filled(), trial.cell.dtype, trial.cell.device
    course = Course(trial, filled, protocol)
    model, text = course.model, course.text
    yield 0, Fact("corpus", text.hash)
    yield 0, Fact(SHARED, text.shared_text)
    yield 0, Fact(SIDES, text.sides or DIVIDED)
    further_texts = {name: other_text(name, text) for name in corpora_of(axes.eval_corpora)}
    for name, other in further_texts.items():
        yield 0, Fact(f"corpus {name}", other.hash)
        yield 0, Fact(f"{SHARED} of {name}", other.shared_text)
    if trial.rate is not None:
        yield 0, Measurement(LEARNING_RATE.name, (trial.rate,))
    yield 0, Measurement(PARAMETERS.name, (float(sum(p.numel() for p in model.parameters())),))
    flops = filled.shape.flops_per_token(filled.seq_len, text.vocabulary, course.activation.branches)
    yield 0, Measurement(FLOPS.name, (float(flops),))
    rate = product_rate(filled, device, dtype) * course.place.size
    yield 0, Measurement(PRODUCT_RATE.name, (rate,))

    for found in course.begin():  # lazy workspaces and compiled code exist from here on
        yield 0, found
    yield 0, Measurement(PEAK.name, (float(peak_bytes(course.training.micro_batch, device)),))
    observer = None
    if protocol.dynamics:
        tokens_BxT = sample(text.held_out_N, filled, course.training.device)
        observer = Observer(model, tokens_BxT, dtype, course.seen.coefficients)
    wanted = looks(axes.steps, protocol.evaluations)

    def look(done: int) -> None:
        if done in wanted or not done:
            score = held_out_loss(model, text, filled, dtype, course.place.size, most=GLANCE)
            course.seen.look(step=done, nats=score.nats, seconds=course.seconds)
            if observer:
                observer.look(done)

    def finished(done: int) -> None:
        score = held_out_loss(model, text, filled, dtype, course.place.size)
        course.seen.finish(step=done, seconds=course.seconds, **asdict(score))

    problem: Exception | None = None
    if not course.done:
        look(0)
    try:
        for _ in course.steps(look, finished):
            yield 0, Progress(course.share)
    except (Diverged, OverBudget) as ended:
        problem = ended
    seen, ends = course.seen.looks, course.seen.finished
    yield 0, _curve(VAL_CURVE, seen, "nats")
    yield 0, _curve(TRAIN_TIME, seen, "seconds")
    if filled.finish_at and ends:
        yield 0, _curve(FINISHED_CURVE, ends, "nats")
        yield 0, _curve(FINISHED_TIME, ends, "seconds")
    for curve in course.curves():
        yield 0, curve
    first, last = seen["nats"][0], seen["nats"][-1]
    if problem is None and not last <= first:
        problem = Diverged(f"the held-out loss ended at {last:.3f}, above its start of {first:.3f}")
    if problem:
        yield 0, problem
        course.end(problem)
        return
    yield 0, Measurement(CLIPPED.name, (course.clipped,))
    yield 0, Measurement(VAL_LOSS.name, (ends["nats"][-1],))
    yield 0, Measurement(EVALUATED.name, (float(ends["tokens"][-1]),))
    if ends["bits"][-1] is not None:
        yield 0, Measurement(BITS_PER_BYTE.name, (ends["bits"][-1],))
    throughput = filled.tokens / course.seconds
    yield 0, Measurement(THROUGHPUT.name, (throughput,))
    yield 0, Measurement(UTILISATION.name, (flops * throughput / rate,))
    others = [held_out_loss(model, other, filled, dtype, course.place.size).nats for other in further_texts.values()]
    if others:
        yield 0, Measurement(OTHER_LOSSES.name, tuple(others), tuple(range(1, len(others) + 1)))
        yield 0, Measurement(OTHERS.name, (sum(others) / len(others),))
    for found in observer.measurements() if observer else ():
        yield 0, found
    yield 0, Measured("saving")
    course.end(None)


def _curve(metric: Metric, seen: Mapping[str, Sequence[float]], of: str) -> Measurement:
    return Measurement(metric.name, tuple(seen[of]), tuple(map(int, seen["step"])))
