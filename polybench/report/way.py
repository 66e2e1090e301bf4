"""The way to the reference's final loss, as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from polybench.compare.comparison import exp
from polybench.compare.grid import Grid, Point
from polybench.compare.way import Way, p_values, seconds_of, tokens_of, way_of
from polybench.document import Column, Entry, Table
from polybench.measure.training_metrics import TIME_TO, TOKENS_TO
from polybench.metric import scale_for
from polybench.report.wording import field_of, p_entry, show, varying_axes
from polybench.run.store import Run
from polybench.stats import ALPHA, CONFIDENCE_SEED, paired


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
    for metric, called, total in ((TOKENS_TO, "tokens", tokens_of), (TIME_TO, "time", seconds_of)):
        ways = [way_of(p, grid, reference, metric, total) for p in found]
        scale, ps = scale_for(metric.unit, (c for w in ways for c in w.costs)), p_values(ways, reference)
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


def _sooner(way: Way, reference: str, p: float | None) -> Entry:
    if way.point.cell.activation == reference:
        return Entry("1")
    if not way.logs():
        return Entry(f"reached by {way.reached} of {len(way.costs)}")
    logs = paired(way.logs())
    ratio = logs.map(exp)
    word = "not resolved" if p is None or p > ALPHA else "better" if logs.value > 0 else "worse"
    return Entry(show(ratio), ratio.value, ratio.low, ratio.high, outcome=word)
