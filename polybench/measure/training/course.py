"""A trial's training from start to end: what every step and every look showed, kept over kills."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from polybench.corpora.corpus import Tokens, tokens
from polybench.errors import OverBudget, TrialError, Unsupported
from polybench.files import sweep
from polybench.measure.instruments.watching import Ran
from polybench.measure.model.build import chosen
from polybench.measure.training import checkpoint
from polybench.measure.training.alone import ran_of
from polybench.measure.training.distributed import common, join
from polybench.measure.training.loop import Training, repeatable, set_up
from polybench.measure.training.thinning import thin
from polybench.measure.training_axes import FilledAxes, TrainingProtocol
from polybench.measure.training_metrics import COMPILE, GRADIENT_NORM, RATE, STEP_RATE, TRAIN_LOSS
from polybench.record import Measurement
from polybench.trial import Trial

Look = Callable[[int], None]  # takes the number of steps done


@dataclass
class Seen:
    """Numbers of every step, in nats, rate and seconds, and of every look at what was held out.

    `aside` are seconds of the steps of branches, which count for their own budgets alone. `finished` are the
    looks at trainings that have ended, those of branches too.
    """

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    aside: list[float] = field(default_factory=list)
    looks: dict[str, list[float]] = field(default_factory=dict)
    finished: dict[str, list[Any]] = field(default_factory=dict)
    coefficients: dict[str, list[float]] = field(default_factory=dict)

    def look(self, **values: float) -> None:
        _add(self.looks, values)

    def finish(self, **values: float | None) -> None:
        _add(self.finished, values)


def _add(to: dict[str, list[Any]], values: Mapping[str, float | None]) -> None:
    for name, value in values.items():
        to.setdefault(name, []).append(value)


class Course:
    """Text, model and training of one trial, begun anew or gone on with from its checkpoint.

    Raises:
        TrialError: the learning rate was to be tuned and no rate that was tried ended well.
        Unsupported: as `tokens` and `set_up`.
    """

    def __init__(self, trial: Trial, axes: FilledAxes, protocol: TrainingProtocol):
        self.trial, self.axes, self.protocol = trial, axes, protocol
        cell = trial.cell
        self.rate = trial.rate_of(axes.lr)
        self.place = join(cell.device)
        if self.place.size > 1 and protocol.parallel == "fsdp" and (protocol.checkpoint_every or protocol.save):
            raise TrialError("a model sharded by fsdp keeps no checkpoints here; take parallel: ddp")
        self.text: Tokens = tokens(axes.corpus, axes.tokenizer)
        repeatable(protocol.deterministic if protocol.deterministic is not None else cell.device == "cpu")
        self.activation = chosen(cell.activation, cell.backend)
        self.model = set_up(self.text, axes, self.activation, cell.device, cell.dtype, trial.seed)
        self.seen = Seen()

    def begin(self) -> Iterator[Measurement]:
        """Set the training up, or go on with what a checkpoint holds; what that took, compiling included, and what a
        step runs of what was compiled.

        Raises:
            Unsupported: something was to be compiled and is not, in one of the processes at least.
        """
        self.training = Training(
            self.model, self.text, self.axes, self.rate, self.trial.cell.dtype, self.trial.seed,
            self.place, self.protocol.parallel,
        )  # fmt: skip
        self._kept = checkpoint.path_of(self.trial, "resume") if self.protocol.checkpoint_every else None
        if self._kept and self._kept.exists():
            state = checkpoint.read(self._kept)
            if state["corpus"] == self.text.hash:
                self.training.load(state["training"])
                self.seen = Seen(**state["seen"])
        yield Measurement(COMPILE.name, (self.training.warm_up(),))
        if self.axes.compile or self.activation.compiles:
            yield from self._ran().measurements()

    def _ran(self) -> Ran:
        """What a step runs: of the whole model where that is compiled, else of the activation alone."""
        cell, axes = self.trial.cell, self.axes
        if axes.compile:
            ran = self.training.ran()
        else:
            ran = ran_of(self.activation, axes, cell.device, cell.dtype, self.place.size)
        lacking = ran.lacking
        if common(self.place, float(bool(lacking))):
            raise Unsupported(lacking or "torch.compile did not compile the model of another process of this training")
        return ran

    @property
    def done(self) -> int:
        return self.training.done

    @property
    def share(self) -> float:
        """How much of all steps is done, those of branches too."""
        return (len(self.seen.losses) + len(self.seen.aside)) / self.axes.steps_taken

    @property
    def seconds(self) -> float:
        """Of all steps behind the weights as they are: on a branch those up to it, and its own."""
        own = self.done - len(self.seen.seconds)
        return sum(self.seen.seconds) + (sum(self.seen.aside[-own:]) if own else 0.0)

    @property
    def clipped(self) -> float:
        """Share of the steps so far whose gradient was cut."""
        norms = self.seen.norms
        return sum(n > self.axes.clip for n in norms) / max(1, len(norms))

    def steps(self, looked: Look = lambda done: None, finished: Look = lambda done: None) -> Iterator[int]:
        """The number of each step once it is taken, those of branches too.

        `looked` is called after each step but those of branches, `finished` at the end of the training and of
        every branch, both before a checkpoint may hold the step.

        Raises:
            Diverged: a loss that is no finite number.
            OverBudget: the seconds of the protocol are spent before the last step.
        """
        spent = sum(self.seen.seconds) + sum(self.seen.aside)
        for step in self.training.steps():
            seen = self.seen
            if step.aside:
                seen.aside.append(step.seconds)
            else:
                seen.losses.append(step.loss)
                seen.norms.append(step.gradient_norm)
                seen.rates.append(step.rate)
                seen.seconds.append(step.seconds)
                looked(self.done)
            if step.ends:
                finished(self.done)
            every = self.protocol.checkpoint_every
            if self._kept and self.done % every == 0 and self.done < self.axes.steps and self.place.leads:
                state = {"corpus": self.text.hash, "training": self.training.state(), "seen": asdict(seen)}
                checkpoint.write(self._kept, state)
            yield self.done
            spent += common(self.place, step.seconds)
            if self.protocol.budget_s and spent > self.protocol.budget_s and self.done < self.axes.steps:
                raise OverBudget(
                    f"its {self.protocol.budget_s:g} s of training were spent at step {self.done} of {self.axes.steps}"
                )

    def end(self, problem: Exception | None) -> None:
        """Keep the model if that is asked for and it is finished; what was kept to go on with is needed only where a
        budget is spent. Comes after all that was measured, which no full disk then takes away."""
        if not self.place.leads:
            return
        path = checkpoint.path_of(self.trial, "model") if self.protocol.save and problem is None else None
        try:
            if path:
                checkpoint.write(path, self._whole())
        finally:
            if self._kept and not isinstance(problem, OverBudget):
                sweep(self._kept)
                self._kept.unlink(missing_ok=True)

    def curves(self) -> Iterator[Measurement]:
        """What every step showed, thinned where that is too much to keep; nothing where none was taken."""
        seen = self.seen
        if not seen.losses:
            return
        rates = [self.axes.tokens_per_step / s if s > 0 else 0.0 for s in seen.seconds]
        for metric, values in (
            (TRAIN_LOSS, seen.losses), (GRADIENT_NORM, seen.norms), (RATE, seen.rates), (STEP_RATE, rates),
        ):  # fmt: skip
            steps, kept = thin(range(1, len(values) + 1), values)
            yield Measurement(metric.name, kept, steps)

    def _whole(self) -> dict[str, Any]:
        return {
            "trial": self.trial.to_json(),
            "axes": self.axes.deciding(),
            "vocabulary": self.text.vocabulary,
            "corpus": self.text.hash,
            "tokenizer": self.text.tokenizer_json,
            "model": self.model.state_dict(),
        }
