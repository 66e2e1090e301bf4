"""How much sooner each activation gets to the reference's final loss: tokens and seconds, paired by seed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from polybench.compare.comparison import exp
from polybench.compare.derive import tokens_at_looks
from polybench.compare.grid import Grid, Point
from polybench.document import Column, Entry, Table
from polybench.measure.curves import STEPS_TO, TIME_TO, TOKENS_TO
from polybench.metric import Metric, scale_for
from polybench.record import Record
from polybench.report.loss_table import p_entry
from polybench.report.table import field_of, show, varying_axes
from polybench.run.store import Run
from polybench.stats import ALPHA, CONFIDENCE_SEED, holm, paired, t_test
from polybench.trial import Cell

METRICS = (STEPS_TO.name, TOKENS_TO.name, TIME_TO.name)


@dataclass(frozen=True)
class Way:
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


def way_tables(run: Run) -> tuple[Table, ...]:
    """A table for each benchmark whose reference left a curve of held-out losses."""
    grid, reference = Grid(run), run.suite["reference"]
    found: dict[str, list[Point]] = defaultdict(list)
    for point in grid.cells.values():
        if point.values(TOKENS_TO.name):
            found[point.benchmark].append(point)
    others = {name: ps for name, ps in found.items() if {p.cell.activation for p in ps} != {reference}}
    return tuple(_table(run, grid, name, ps) for name, ps in others.items())


def _table(run: Run, grid: Grid, benchmark: str, found: Sequence[Point]) -> Table:
    reference = run.suite["reference"]
    varying, _ = varying_axes([p.cell for p in found])
    columns = [Column("activation", numeric=False), *(Column(axis, numeric=False) for axis in varying)]
    rows = [[Entry(p.cell.activation), *(Entry(field_of(p.cell, axis)) for axis in varying)] for p in found]
    ways: list[Way] = []
    for metric, called, total in ((TOKENS_TO, "tokens", _tokens), (TIME_TO, "time", _seconds)):
        ways = [way_of(p, grid, reference, metric, total) for p in found]
        scale, ps = scale_for(metric.unit, (c for w in ways for c in w.costs)), _p_values(ways, reference)
        columns += [
            Column(f"{called} to it", scale.unit, metric.definition), Column(f"times sooner in {called}"),
            Column(f"p of {called} (Holm)"),
        ]  # fmt: skip
        for row, way in zip(rows, ways, strict=True):
            spent = Entry(scale.show(fmean(way.costs), 3), fmean(way.costs)) if way.logs() else Entry("–")
            p = ps.get(way.point)
            row += [spent, _sooner(way, reference, p), p_entry(p)]
    columns.append(Column("reached by"))
    for row, way in zip(rows, ways, strict=True):
        row.append(Entry(f"{way.reached} of {len(way.costs)}"))
    return Table(
        key=f"{benchmark}-way",
        title=f"{benchmark}: the way to {reference}'s final held-out loss",
        caption=f"Means over seeds of what each activation had spent "
        f"when its held-out loss first came down to where {reference} of the same seed ended. Times sooner: what "
        f"{reference} spent in all over that (of steps it is as of tokens), with a {CONFIDENCE_SEED:.0%} t interval of "
        f"its logarithm, paired by seed; better or worse where it excludes 1 and the t p is at most {ALPHA:.0%} after "
        "Holm over the activations of the cell. Where a seed never gets there, there is no ratio.",
        columns=tuple(columns),
        rows=tuple(map(tuple, rows)),
    )


def way_of(point: Point, grid: Grid, reference: str, metric: Metric, total: Callable[[Record], float]) -> Way:
    """The costs of the seeds that both finished on the same data, beside the reference's own totals."""
    base = grid.beside(point, reference)
    twins = {r.trial.seed: r for r in base.ok()} if base else {}
    pairs = [
        (m.values[0], total(twin))
        for r in point.ok()
        if (m := r.get(metric.name)) and (twin := twins.get(r.trial.seed)) and dict(twin.facts) == dict(r.facts)
    ]
    return Way(point, tuple(cost for cost, _ in pairs), tuple(total for _, total in pairs))


def _p_values(ways: Sequence[Way], reference: str) -> dict[Point, float]:
    """Of the t test that an activation spends as much as the reference, after Holm over those of its cell.

    What has no ratio counts as tested and not told apart, since the ratios there are chose themselves.
    """
    families: dict[Cell, list[Way]] = defaultdict(list)
    for way in ways:
        if way.point.cell.activation != reference:
            families[way.point.cell.beside("")].append(way)
    found: dict[Point, float] = {}
    for members in families.values():
        ps = holm([t_test(w.logs()) for w in members])  # 1 for fewer than two
        found |= {w.point: p for w, p in zip(members, ps, strict=True) if len(w.logs()) > 1}
    return found


def _sooner(way: Way, reference: str, p: float | None) -> Entry:
    if way.point.cell.activation == reference:
        return Entry("1")
    if not way.logs():
        return Entry(f"reached by {way.reached} of {len(way.costs)}")
    logs = paired(way.logs())
    ratio = logs.map(exp)
    word = "not resolved" if p is None or p > ALPHA else "better" if logs.value > 0 else "worse"
    return Entry(show(ratio), ratio.value, ratio.low, ratio.high, outcome=word)


def _tokens(record: Record) -> float:
    return (tokens_at_looks(record) or (math.inf,))[-1]


def _seconds(record: Record) -> float:
    times = record.get("train_time")
    return times.values[-1] if times else math.inf
