"""Where the spread between seeds comes from: initial values, data order, or both."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from polybench.compare.grid import Grid, Point, of_seeds
from polybench.document import Column, Entry, Table
from polybench.report.loss_table import differences_of
from polybench.report.table import field_of, show, varying_axes
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_SEED, Estimate

SOURCES = {"init": "initial values", "data": "data order", "both": "both"}
_LOSSES = ("val_loss", "final_train_loss")


def deviation(values: Sequence[float], confidence: float = CONFIDENCE_SEED) -> Estimate | None:
    """Standard deviation with its chi-square interval; None for fewer than two values.

    sqrt(sum of squares / chi2 quantile of n - 1 degrees of freedom), exact for normal values.
    """
    from scipy.special import chdtri

    n = len(values)
    if n < 2:
        return None
    found, tail = statistics.stdev(values), (1 - confidence) / 2
    low, high = (found * math.sqrt((n - 1) / float(chdtri(n - 1, p))) for p in (tail, 1 - tail))
    return Estimate(found, low, high, n)


def spread_tables(run: Run) -> tuple[Table, ...]:
    """A table for each benchmark whose cells differ in the axis `varies`; `run` still holds them all."""
    grid = Grid(run)
    found: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in grid.cells.values():
        for loss in _LOSSES:
            if dict(point.cell.axes).get("varies") in SOURCES and of_seeds(point, loss):
                found[point.benchmark, loss].append(point)
    apart = {key: [p for p in ps if len(_sources(p, ps)) > 1] for key, ps in found.items()}
    return tuple(_table(run, grid, *key, ps) for key, ps in apart.items() if ps)


def _sources(point: Point, found: Sequence[Point]) -> set[object]:
    """What the seed moves in all points that differ from this in nothing else."""
    here = _elsewhere(point)
    return {p.cell.axis("varies") for p in found if _elsewhere(p) == here}


def _elsewhere(point: Point) -> dict[str, object]:
    """A cell but for what the seed moves."""
    return {**point.cell.to_json(), "axes": {k: v for k, v in point.cell.axes if k != "varies"}, "id": ""}


def _table(run: Run, grid: Grid, benchmark: str, loss: str, found: Sequence[Point]) -> Table:
    metric, reference = run.metrics[found[0].cell.kind][loss], run.suite["reference"]
    varying, shared = varying_axes([p.cell for p in found])
    axes = [a for a in varying if a != "varies"]
    order, rows = list(SOURCES), []
    places = [{**_elsewhere(p), "activation": ""} for p in found]
    rank = {
        p: (places.index(place), order.index(str(p.cell.axis("varies"))))
        for p, place in zip(found, places, strict=True)
    }
    for point in sorted(found, key=rank.__getitem__):
        where = (Entry(field_of(point.cell, axis)) for axis in axes)
        apart = [] if point.cell.activation == reference else differences_of(grid, point, reference, metric)
        own = of_seeds(point, loss)
        rows.append((
            Entry(point.cell.activation), *where, Entry(SOURCES[str(point.cell.axis("varies"))]),
            _entry(own), Entry(str(len(own))), _entry(apart),
        ))  # fmt: skip
    return Table(
        key=f"{benchmark}-spread",
        title=f"{benchmark}: where the spread comes from",
        caption=f"On {', '.join([run.header['device'], *shared])}. Standard deviation over seeds of {loss}, where the "
        f"seed moves the initial values, the order of the data, or both, with {CONFIDENCE_SEED:.0%} chi-square "
        f"intervals, which hold for normal losses. The difference from {reference} of the same seed is what a "
        "comparison has to be told from.",
        columns=(
            Column("activation", numeric=False), *(Column(axis, numeric=False) for axis in axes),
            Column("the seed moves", numeric=False), Column("sd of the loss", metric.unit, metric.definition),
            Column("n"), Column(f"sd of the difference from {reference}", metric.unit),
        ),
        rows=tuple(rows),
        notes=tuple(f"{p.cell.activation}, {p.cell.axis('varies')}: {p.trouble()}" for p in found if p.trouble()),
    )  # fmt: skip


def _entry(values: Sequence[float]) -> Entry:
    found = deviation([v for v in values if math.isfinite(v)])
    return Entry(show(found), found.value, found.low, found.high) if found else Entry("–")
