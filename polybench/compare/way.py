"""How much sooner each activation gets to the reference's final loss: tokens and seconds, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polybench.compare.derive import seconds_at_looks, tokens_at_looks
from polybench.compare.grid import Grid
from polybench.compare.points import OfPoint, Point, by_place
from polybench.corrections import holm_of
from polybench.measure.training_metrics import STEPS_TO, TIME_TO, TOKENS_TO
from polybench.metric import Metric
from polybench.record import Record
from polybench.stats import t_test

METRICS = (STEPS_TO.name, TOKENS_TO.name, TIME_TO.name)


@dataclass(frozen=True)
class Way(OfPoint):
    """One cost of an activation's way to the reference's final loss, a value a seed, and of the reference's own.

    Where a seed never gets there its cost is infinite.
    """

    point: Point
    costs: tuple[float, ...]
    totals: tuple[float, ...]

    @property
    def reached(self) -> int:
        return sum(map(math.isfinite, self.costs))

    def logs(self) -> list[float]:
        """log(reference's total / own way) of every seed; empty unless all seeds reach it at some cost."""
        if not self.costs or min(*self.costs, *self.totals) <= 0 or not all(map(math.isfinite, self.costs)):
            return []
        return [math.log(total / cost) for cost, total in zip(self.costs, self.totals, strict=True)]


def way_of(point: Point, grid: Grid, reference: str, metric: Metric, total: Callable[[Record], float]) -> Way:
    """The costs of the seeds that both finished on the same data, beside the reference's own totals."""
    base = grid.twin(point, reference)
    twins = {r.trial.seed: r for r in base.ok()} if base else {}
    pairs = [
        (m.values[0], total(twin))
        for r in point.ok()
        if (m := r.get(metric.name)) and (twin := twins.get(r.trial.seed)) and dict(twin.facts) == dict(r.facts)
    ]
    return Way(point, tuple(cost for cost, _ in pairs), tuple(total for _, total in pairs))


def p_values(ways: Sequence[Way], reference: str) -> dict[Point, float]:
    """Of the t test that an activation spends as much as the reference, after Holm over those of its cell.

    What has no ratio counts as tested and not told apart, since the ratios there are chose themselves.
    """
    adjusted: dict[Point, float] = {}
    for members in by_place(w for w in ways if w.cell.activation != reference).values():
        corrected = holm_of({w.point: t_test(w.logs()) for w in members})  # 1 for fewer than two
        adjusted |= {w.point: corrected[w.point] for w in members if len(w.logs()) > 1}
    return adjusted


def tokens_of(record: Record) -> float:
    return (tokens_at_looks(record) or (math.inf,))[-1]


def seconds_of(record: Record) -> float:
    return (seconds_at_looks(record) or (math.inf,))[-1]
