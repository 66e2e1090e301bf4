"""The way to the reference's final loss, as tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean

from polybench.compare.comparison import exp
from polybench.compare.comparisons import Comparisons
from polybench.compare.derive import reading
from polybench.compare.points import Point
from polybench.compare.way import METRICS, Way, p_values, seconds_of, tokens_of, way_of
from polybench.document import ABSENT, Column, Entry, Table
from polybench.measure.training_metrics import TIME_TO, TOKENS_TO
from polybench.metric import scale_for
from polybench.report.section import Section
from polybench.report.wording import head_columns, head_entries, p_entry, show, varying_axes, verdict_word
from polybench.stats import ALPHA, CONFIDENCE_SEED, paired


def section(comparisons: Comparisons) -> Section:
    """A table for each benchmark whose reference left a curve of held-out losses, and that others follow."""
    benchmarks: dict[str, list[Point]] = defaultdict(list)
    for point in comparisons.points():
        if point.values(TOKENS_TO.name):
            benchmarks[point.benchmark].append(point)
    alone = {comparisons.reference}
    followed = {name: ps for name, ps in benchmarks.items() if {p.cell.activation for p in ps} != alone}
    return Section(
        tables=tuple(_ways(comparisons, name, ps) for name, ps in followed.items()),
        metrics=frozenset(METRICS if benchmarks else ()),
    )


def _ways(comparisons: Comparisons, benchmark: str, points: Sequence[Point]) -> Table:
    reference = comparisons.reference
    varying, _ = varying_axes([p.cell for p in points])
    columns = head_columns(varying)
    rows = [head_entries(p.cell, varying) for p in points]
    reached: list[Way] = []  # of tokens, which are counted whatever machine it was
    for metric, called, total in ((TOKENS_TO, "tokens", tokens_of), (TIME_TO, "time", seconds_of)):
        ways = [way_of(p, comparisons.grid, reference, metric, total) for p in points]
        reached = reached or ways
        scale = scale_for(metric.unit, (c for w in ways for c in w.costs))
        ps = p_values(ways, comparisons.grid, reference)
        columns += [
            Column(f"{called} to it", scale.unit, metric.definition), Column(f"times sooner in {called}"),
            Column(f"p of {called} (Holm)"),
        ]  # fmt: skip
        for row, way in zip(rows, ways, strict=True):
            spent = Entry(scale.show(fmean(way.costs), 3), fmean(way.costs)) if way.logs() else Entry(ABSENT)
            p = ps.get(way.point)
            row += [spent, _sooner(way, reference, p), p_entry(p)]
    columns.append(Column("reached by"))
    along = reading(TOKENS_TO, (r for p in points for r in p.ok()))
    for row, way in zip(rows, reached, strict=True):
        row.append(Entry(f"{way.reached} of {len(way.costs)}"))
    return Table(
        key=f"{benchmark}-way",
        title=f"{benchmark}: the way to {reference}'s final held-out loss{along and ', ' + along}",
        caption=f"Means over seeds of what each activation had spent "
        f"when its held-out loss first came down to where {reference} of the same seed ended. Times sooner: what "
        f"{reference} spent in all over that (of steps it is as of tokens), with a {CONFIDENCE_SEED:.0%} t interval of "
        f"its logarithm, paired by seed; better or worse where it excludes 1 and the t p is at most {ALPHA:.0%} after "
        "Holm over the activations of the cell. Where a seed never gets there, or diverges, there is no ratio.",
        columns=tuple(columns),
        rows=tuple(map(tuple, rows)),
    )


def _sooner(way: Way, reference: str, p: float | None) -> Entry:
    if way.point.cell.activation == reference:
        return Entry("1")
    if not way.logs():
        return Entry(f"reached by {way.reached} of {len(way.costs)}" if way.costs else ABSENT)
    logs = paired(list(way.logs().values()))
    ratio = logs.map(exp)
    word = verdict_word(p, better=logs.value > 0)
    return Entry(show(ratio), ratio.value, ratio.low, ratio.high, outcome=word)
