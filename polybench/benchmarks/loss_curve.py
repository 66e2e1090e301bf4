"""loss_curve: the training loss of every step of a small decoder on real text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.axes import LanguageAxes, LanguageProtocol, training_seconds
from polybench.cell import Trial
from polybench.errors import Diverged
from polybench.kind import Fact, Item, Progress
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import benchmarks

TAIL = 0.1  # share of the last steps whose mean is the final loss

TRAIN_LOSS = Metric(
    "train_loss", "nat/token", "lower", "seed", "Training loss of every step, before its update.", curve=True
)
FINAL_LOSS = Metric(
    "final_train_loss", "nat/token", "lower", "seed", "Mean training loss over the last tenth of the steps."
)


@benchmarks.register(
    "loss_curve",
    axes=LanguageAxes,
    protocol=LanguageProtocol,
    metrics=(TRAIN_LOSS, FINAL_LOSS),
    version=1,
    repeats="seeds",
    seconds=lambda axes, protocol: training_seconds(axes),
)
def loss_curve(trials: Sequence[Trial], axes: LanguageAxes, protocol: LanguageProtocol) -> Iterator[tuple[int, Item]]:
    """Training loss of a small LLaMA-like decoder on real text, every step, paired seeds."""
    from polybench.corpus import tokens
    from polybench.training import set_up, train

    cell, seed = trials[0].cell, trials[0].seed
    text = tokens(axes.corpus, axes.tokenizer)
    yield 0, Fact("corpus", text.hash)
    model = set_up(text, axes, cell.activation, cell.backend, cell.device, cell.dtype, seed)
    losses: list[float] = []
    problem: Exception | None = None
    try:
        for step in train(model, text, axes, cell.dtype, seed):
            losses.append(step.loss)
            yield 0, Progress(len(losses) / axes.steps)
    except Diverged as diverged:
        problem = diverged
    yield 0, Measurement(TRAIN_LOSS.name, tuple(losses), tuple(range(1, len(losses) + 1)))
    if problem is None:
        tail = losses[-max(1, round(TAIL * axes.steps)) :]
        final = sum(tail) / len(tail)
        if final > losses[0] and axes.steps > 1:
            problem = Diverged(f"the loss ended at {final:.3f}, above its start of {losses[0]:.3f}")
        else:
            yield 0, Measurement(FINAL_LOSS.name, (final,))
    if problem:
        yield 0, problem
