"""loss_curve: the training loss of every step of a small decoder on real text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.errors import Diverged, OverBudget
from polybench.kind import Fact, Item, Measured, Progress
from polybench.measure.ran_metrics import RAN
from polybench.measure.training_axes import TrainingAxes, TrainingProtocol, training_seconds
from polybench.measure.training_metrics import CLIPPED, COMPILE, LEARNING_RATE, PER_STEP
from polybench.metric import Metric, Question
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Trial

TAIL = 0.1  # share of the last steps whose mean is the final loss

FINAL_LOSS = Metric(
    "final_train_loss", "nat/token", "lower", "seed", "Mean training loss over the last tenth of the steps.",
    asked=Question("In training loss", "the lowest training loss", rank=2), title="training loss", by_seed=True,
)  # fmt: skip


@kinds.register(
    "loss_curve",
    axes=TrainingAxes,
    protocol=TrainingProtocol,
    metrics=(*PER_STEP, FINAL_LOSS, CLIPPED, COMPILE, LEARNING_RATE, *RAN),
    version=2,
    repeats="seeds",
    seconds=lambda axes, protocol: training_seconds(axes),
    objective="final_train_loss",
    unused=("eval_corpora", "eval_tokens", "finish_at", "evaluations", "dynamics"),
)
def loss_curve(trials: Sequence[Trial], axes: TrainingAxes, protocol: TrainingProtocol) -> Iterator[tuple[int, Item]]:
    """Training loss of a small LLaMA-like decoder on real text, every step, paired seeds."""
    from polybench.measure.training.course import Course

    (trial,) = trials
    course = Course(trial, axes.filled(), protocol)
    yield 0, Fact("corpus", course.text.hash)
    if trial.rate is not None:
        yield 0, Measurement(LEARNING_RATE.name, (trial.rate,))
    for found in course.begin():
        yield 0, found
    problem: Exception | None = None
    try:
        for done in course.steps():
            yield 0, Progress(done / axes.steps)
    except (Diverged, OverBudget) as ended:
        problem = ended
    for curve in course.curves():
        yield 0, curve
    yield 0, Measurement(CLIPPED.name, (course.clipped,))
    losses = course.seen.losses
    if problem is None:
        tail = losses[-max(1, round(TAIL * axes.steps)) :]
        final = sum(tail) / len(tail)
        if final > losses[0] and axes.steps > 1:
            problem = Diverged(f"the loss ended at {final:.3f}, above its start of {losses[0]:.3f}")
        else:
            yield 0, Measurement(FINAL_LOSS.name, (final,))
    yield 0, problem or Measured("saving")
    course.end(problem)
