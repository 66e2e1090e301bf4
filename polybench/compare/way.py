"""How much sooner each activation gets to the reference's final loss: tokens and seconds, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polybench.compare.derive import seconds_at_looks, tokens_at_looks
from polybench.compare.grid import Grid
from polybench.compare.points import OfPoint, Point, by_place
from polybench.compare.seeds import p_over_looks
from polybench.corrections import holm_of
from polybench.measure.training_metrics import STEPS_TO, TIME_TO, TOKENS_TO
from polybench.metric import Metric
from polybench.record import Record, Status

METRICS = (STEPS_TO.name, TOKENS_TO.name, TIME_TO.name)


@dataclass(frozen=True)
class Way(OfPoint):
    """One cost of an activation's way to the reference's final loss, a value a seed, and of the reference's own.

    Where a seed never gets there, or diverges on the way, its cost is infinite.
    """

    point: Point
    seeds: tuple[int, ...]
    costs: tuple[float, ...]
    totals: tuple[float, ...]

    @property
    def reached(self) -> int:
        return sum(map(math.isfinite, self.costs))

    def logs(self) -> dict[int, float]:
        """log(reference's total / own way) by seed; empty unless all seeds of both get there at some cost."""
        numbers = (*self.costs, *self.totals)
        if not numbers or min(numbers) <= 0 or not all(map(math.isfinite, numbers)):
            return {}
        return {s: math.log(total / cost) for s, cost, total in zip(self.seeds, self.costs, self.totals, strict=True)}


def way_of(point: Point, grid: Grid, reference: str, metric: Metric, total: Callable[[Record], float]) -> Way:
    """The costs of the seeds that both finished on the same data or lost, beside the reference's own totals."""
    base = grid.twin(point, reference)
    twins = {r.trial.seed: r for r in base.records} if base else {}
    pairs: dict[int, tuple[float, float]] = {}
    for record in point.records:
        twin, own = twins.get(record.trial.seed), record.get(metric.name)
        if twin is None:
            continue
        if Status.DIVERGED in (record.status, twin.status):
            pairs[record.trial.seed] = math.inf, math.inf
        elif own and record.status is twin.status is Status.OK and dict(twin.facts) == dict(record.facts):
            pairs[record.trial.seed] = own.values[0], total(twin)
    return Way(point, tuple(pairs), tuple(cost for cost, _ in pairs.values()), tuple(own for _, own in pairs.values()))


def p_values(ways: Sequence[Way], grid: Grid, reference: str) -> dict[Point, float]:
    """Of the t test that an activation spends as much as the reference, over looks and after Holm in its cell.

    What has no ratio counts as tested and not told apart, since the ratios there are chose themselves.
    """
    adjusted: dict[Point, float] = {}
    for members in by_place(w for w in ways if w.cell.activation != reference).values():
        corrected = holm_of({w.point: p_over_looks(w.logs(), grid.looks(w.benchmark)) for w in members})
        adjusted |= {w.point: corrected[w.point] for w in members if len(w.logs()) > 1}
    return adjusted


def tokens_of(record: Record) -> float:
    return (tokens_at_looks(record) or (math.inf,))[-1]


def seconds_of(record: Record) -> float:
    return (seconds_at_looks(record) or (math.inf,))[-1]
