"""Where the spread of losses comes from: what the seed moves, one source at a time."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, of_seeds
from polybench.document import ABSENT, Column, Entry, Table
from polybench.metric import Metric
from polybench.report.section import Section
from polybench.report.wording import head_columns, head_entries, show, varying_axes
from polybench.spec import Scalar
from polybench.stats import CONFIDENCE_SEED, Estimate
from polybench.trial import Cell

SOURCES = {"init": "initial values", "data": "data order", "both": "both"}


def section(comparisons: Comparisons) -> Section:
    """A table for each benchmark whose cells differ in the axis `varies`."""
    losses = [m for m in comparisons.metrics().values() if m.by_seed and not comparisons.derived(m.name)]
    held: dict[tuple[str, Metric], list[Point]] = defaultdict(list)
    for point in comparisons.whole.cells.values():
        for loss in losses:
            if point.cell.get("varies") in SOURCES and of_seeds(point, loss.name):
                held[point.benchmark, loss].append(point)
    apart = {key: _of_several_sources(ps) for key, ps in held.items()}
    return Section(tables=tuple(_spread(comparisons, *key, ps) for key, ps in apart.items() if ps))


def deviation(values: Sequence[float], confidence: float = CONFIDENCE_SEED) -> Estimate | None:
    """Standard deviation with its chi-square interval; None for fewer than two values.

    sqrt(sum of squares / chi2 quantile of n - 1 degrees of freedom), exact for normal values.
    """
    from scipy.special import chdtri

    n = len(values)
    if n < 2:
        return None
    sd, tail = statistics.stdev(values), (1 - confidence) / 2
    low, high = (sd * math.sqrt((n - 1) / float(chdtri(n - 1, p))) for p in (tail, 1 - tail))
    return Estimate(sd, low, high, n)


def _of_several_sources(points: Sequence[Point]) -> list[Point]:
    """Those that others differ from in what the seed moves and in nothing else."""
    sources: dict[Cell, set[Scalar]] = defaultdict(set)
    for point in points:
        sources[point.cell.without("varies")].add(point.cell.axis("varies"))
    return [p for p in points if len(sources[p.cell.without("varies")]) > 1]


def _spread(comparisons: Comparisons, benchmark: str, metric: Metric, points: Sequence[Point]) -> Table:
    reference = comparisons.reference
    varying, shared = varying_axes([p.cell for p in points])
    axes = [a for a in varying if a != "varies"]
    order, rows = list(SOURCES), []
    places = {place: i for i, place in enumerate(dict.fromkeys(p.cell.place.without("varies") for p in points))}
    rank = {p: (places[p.cell.place.without("varies")], order.index(str(p.cell.axis("varies")))) for p in points}
    for point in sorted(points, key=rank.__getitem__):
        base = point.cell.activation == reference
        apart = [] if base else list(comparisons.whole.differences(point, reference, metric).values())
        own = of_seeds(point, metric.name)
        rows.append((
            *head_entries(point.cell, axes), Entry(SOURCES[str(point.cell.axis("varies"))]),
            _entry(own), Entry(str(len(own))), _entry(apart),
        ))  # fmt: skip
    return Table(
        key=f"{benchmark}-spread",
        title=f"{benchmark}: where the spread comes from",
        caption=f"On {', '.join([comparisons.run.device, *shared])}. Standard deviation over seeds of "
        f"{metric.name}, where the seed moves the initial values, the order of the data, or both, with "
        f"{CONFIDENCE_SEED:.0%} chi-square intervals, which hold for normal losses. The difference from {reference} of "
        "the same seed is what a comparison has to be told from.",
        columns=(
            *head_columns(axes),
            Column("the seed moves", numeric=False), Column("sd of the loss", metric.unit, metric.definition),
            Column("n"), Column(f"sd of the difference from {reference}", metric.unit),
        ),
        rows=tuple(rows),
        notes=tuple(f"{p.cell.activation}, {p.cell.axis('varies')}: {p.trouble()}" for p in points if p.trouble()),
    )  # fmt: skip


def _entry(values: Sequence[float]) -> Entry:
    sd = deviation([v for v in values if math.isfinite(v)])
    return Entry(show(sd), sd.value, sd.low, sd.high) if sd else Entry(ABSENT)
