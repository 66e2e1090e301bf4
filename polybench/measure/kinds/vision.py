"""vision: what an activation buys in a small residual network that is trained on images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.errors import Diverged, Unsupported
from polybench.kind import Fact, Item, Progress
from polybench.measure.annealing import looks
from polybench.measure.training_metrics import LEARNING_RATE
from polybench.measure.vision_axes import VisionAxes, VisionProtocol, seconds
from polybench.metric import Metric, Price, Question
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Trial

LOSS = Metric(
    "image_loss", "nat", "lower", "seed",
    "Held-out cross entropy after the last epoch, nats an image, mean over all images that are held out.",
    asked=Question("On images", "the lowest held-out loss"), header="held-out loss of images",
    title="held-out loss of images", by_seed=True,
)  # fmt: skip
ACCURACY = Metric(
    "image_accuracy", "share", "higher", "seed",
    "Share of the held-out images whose class is the most likely one after the last epoch.",
    asked=Question("In accuracy on images", "the highest accuracy", rank=2), title="accuracy on images", by_seed=True,
)  # fmt: skip
TIME = Metric(
    "training_time", "s", "lower", "seed",
    "Time of all steps of the training, without looks; on one CPU thread, that thread's CPU time.",
    cost=Price("training time", "Training time"),
)  # fmt: skip
PARAMETERS = Metric("parameters", "1", "neither", "nothing", "Trained numbers of the network.")
LOSS_CURVE = Metric(
    "image_loss_curve", "nat", "lower", "seed", "Held-out loss by the steps done, at the looks of the protocol.",
    curve=True, title="held-out loss of images",
)  # fmt: skip
ACCURACY_CURVE = Metric(
    "image_accuracy_curve", "share", "higher", "seed", "Accuracy by the steps done, at the looks of the protocol.",
    curve=True, title="accuracy on images",
)  # fmt: skip
TRAIN_LOSS = Metric(
    "image_train_loss", "nat", "lower", "seed", "Loss of every step, before its update, nats an image.", curve=True,
    title="training loss of images",
)  # fmt: skip


@kinds.register(
    "vision",
    axes=VisionAxes,
    protocol=VisionProtocol,
    metrics=(LOSS, ACCURACY, TIME, PARAMETERS, LEARNING_RATE, LOSS_CURVE, ACCURACY_CURVE, TRAIN_LOSS),
    version=1,
    repeats="seeds",
    seconds=seconds,
    objective="image_loss",
)
def vision(trials: Sequence[Trial], axes: VisionAxes, protocol: VisionProtocol) -> Iterator[tuple[int, Item]]:
    """Accuracy and held-out loss of a small residual network with batch norm on images, paired seeds."""
    import math

    from polybench.measure.instruments.watching import hold_compiled
    from polybench.measure.model.build import chosen
    from polybench.measure.training.loop import repeatable
    from polybench.measure.vision.images import images
    from polybench.measure.vision.training import Score, Training

    (trial,) = trials
    cell = trial.cell
    if cell.dtype not in ("float32", "float64"):
        raise Unsupported(f"vision trains in float32 or float64, not in {cell.dtype}")
    rate = trial.rate_of(axes.lr)
    pictures = images(axes.images)
    yield 0, Fact("images", pictures.hash)
    yield 0, Fact("sides of the images", f"{len(pictures.train)} + {len(pictures.held_out)}, {pictures.told}")
    repeatable(cell.device == "cpu")
    activation = chosen(cell.activation, cell.backend)
    training = Training(axes, pictures, activation, rate, trial.seed, cell.device, cell.dtype)
    if trial.rate is not None:
        yield 0, Measurement(LEARNING_RATE.name, (rate,))
    yield 0, Measurement(PARAMETERS.name, (float(sum(p.numel() for p in training.model.parameters())),))

    wanted = looks(training.steps, protocol.evaluations)
    scores: dict[int, Score] = {}
    losses: list[float] = []
    problem: Diverged | None = None
    training.warm_up()
    width, dtype = axes.shape.hidden(activation.branches)[0], next(training.model.parameters()).dtype
    hold_compiled(activation, (axes.batch,), activation.branches * width, dtype, cell.device)
    try:
        for done, loss in enumerate(training.run(), start=1):
            losses.append(loss)
            if done in wanted:
                scores[done] = training.score()
                yield 0, Progress(done / training.steps)
    except Diverged as ended:
        problem = ended
    seen = tuple(scores)
    if seen:
        yield 0, Measurement(LOSS_CURVE.name, tuple(score.loss for score in scores.values()), seen)
        yield 0, Measurement(ACCURACY_CURVE.name, tuple(score.accuracy for score in scores.values()), seen)
    if losses:
        yield 0, Measurement(TRAIN_LOSS.name, tuple(losses), tuple(range(1, len(losses) + 1)))
    if problem:
        yield 0, problem
        return
    last, guessed = scores[training.steps], math.log(pictures.classes)
    if not last.loss <= guessed:
        yield 0, Diverged(f"the held-out loss ended at {last.loss:.3f}, above the {guessed:.3f} of a guess")
        return
    yield 0, Measurement(LOSS.name, (last.loss,))
    yield 0, Measurement(ACCURACY.name, (last.accuracy,))
    yield 0, Measurement(TIME.name, (training.seconds,))
