"""A run made ready to be compared and aligned once, and every comparison in it that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from polybench.compare.comparison import Comparison, compare, of_losses
from polybench.compare.derive import with_derived
from polybench.compare.family import corrected
from polybench.compare.grid import Grid
from polybench.compare.points import Point, compared, points
from polybench.compare.scored import with_scores
from polybench.compare.speed_up import with_speed_up
from polybench.compare.step_time import StepTimes, Timed
from polybench.metric import Metric
from polybench.run.store import Run


@dataclass(frozen=True)
class Comparisons:
    """What a report and a gate take in place of a run; made by `of`, so that no step is left out.

    `stored` is the run as it was loaded, `run` what is compared of it, with what follows from its curves.
    `grid` holds the points of `run`, `whole` also those that compare no activations: what tunes a rate, and
    single sources of spread.
    """

    stored: Run
    run: Run
    grid: Grid
    whole: Grid
    _known: dict[tuple[str, str], dict[Point, Comparison]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, run: Run) -> Comparisons:
        """Every point is made once, whoever looks at it later."""
        ready = with_scores(with_speed_up(with_derived(compared(run))))
        chosen = {r.trial.id for r in ready.records}
        others = tuple(r for r in run.records if r.trial.id not in chosen)
        every = points(replace(ready, records=(*ready.records, *others)))
        looks = run.header.get("looks")
        whole = grid = Grid(every, run.suite, looks)
        if others:
            grid = Grid((p for p in every if p.records[0].trial.id in chosen), run.suite, looks)
        return cls(run, ready, grid, whole)

    @property
    def reference(self) -> str:
        return self.run.suite.reference

    def points(self) -> Iterator[Point]:
        """What is compared, in the order of the suite."""
        return iter(self.grid.cells.values())

    def metrics(self) -> dict[str, Metric]:
        """Every metric of the run by name; of several kinds that share a name the first one's."""
        named: dict[str, Metric] = {}
        for metrics in self.run.metrics.values():
            for metric in metrics.values():
                named.setdefault(metric.name, metric)
        return named

    @cached_property
    def _steps(self) -> StepTimes:
        return StepTimes(self.run)

    def steps_of(self, trainings: Sequence[Point]) -> Timed | None:
        """The steps timed in turns that the trainings of one place took, if the run has them."""
        first = trainings[0]
        return self._steps.beside((first.benchmark, first.cell.place), (r for p in trainings for r in p.records))

    def loss(self, kind: str) -> Metric | None:
        """The one by which the models of a kind are told apart: the first measured one with a table by seed."""
        measured = (m for m in self.run.metrics.get(kind, {}).values() if not self.derived(m.name))
        return next((m for m in measured if m.by_seed), None)

    def derived(self, name: str) -> bool:
        """Whether it was not measured, but follows from what was."""
        return any(m.name == name for metrics in self.run.derived.values() for m in metrics)

    def against(self, activation: str, metric: str) -> Mapping[Point, Comparison]:
        """Every cell whose kind has that metric beside the same cell of an activation, worked out when first asked.

        A difference counts when its interval lies beyond the margin and when it survives the correction
        for what it is compared with: of losses Holm over the activations of its cell (family-wise error 5 %),
        else Benjamini-Hochberg over its column (false discovery rate 5 %).
        """
        key = activation, metric
        if key not in self._known:
            alone = [
                compare(self.grid, point, self.grid.twin(point, activation), known, activation)
                for point in self.points()
                if (known := self.run.metrics[point.cell.kind].get(metric)) and not known.curve
            ]
            self._known[key] = _judged(alone)
        return self._known[key]

    def to_reference(self, metric: str) -> Mapping[Point, Comparison]:
        return self.against(self.reference, metric)

    def every(self, activation: str | None = None) -> Iterator[Comparison]:
        """Every cell and scalar metric beside an activation's, by default the reference's, cell by cell."""
        for point in self.points():
            for metric in self.run.metrics[point.cell.kind].values():
                if not metric.curve:
                    yield self.against(activation or self.reference, metric.name)[point]


def _judged(alone: Sequence[Comparison]) -> dict[Point, Comparison]:
    """Corrected for what else is asked; a column is one family, where one training in two cells is asked once."""
    asked = [c.point if of_losses(c.metric) else (c.point.evidence, c.change) for c in alone]
    once = dict(zip(asked, alone, strict=True))
    judged = dict(zip(once, corrected([*once.values()]), strict=True))
    return {c.point: replace(judged[key], point=c.point) for key, c in zip(asked, alone, strict=True)}
