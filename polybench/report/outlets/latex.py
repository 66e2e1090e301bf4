"""Verdicts for a paper: a table a metric, and a command a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from polybench.compare.judged import Judged
from polybench.compare.verdict import Verdict
from polybench.document import ABSENT, Column, Document, Entry, Table
from polybench.metric import Metric, places_for, scale_for, significant
from polybench.registry import outlets
from polybench.report.formats.latex import latex as typeset
from polybench.stats import Estimate


@outlets.register("latex", suffix=".tex")
def latex(judged: Judged, before: str) -> str:
    """The same as a report has, of the verdicts."""
    by_metric: dict[Metric, list[Verdict]] = {}
    for v in judged.verdicts:
        by_metric.setdefault(v.metric, []).append(v)
    made: str = typeset(
        Document(
            title=f"{judged.suite}/{judged.command}",
            description=judged.reason,
            tables=tuple(_table(judged, metric, verdicts) for metric, verdicts in by_metric.items()),
        )
    )
    return made


def _table(judged: Judged, metric: Metric, verdicts: Sequence[Verdict]) -> Table:
    scale = scale_for(metric.unit, (x for v in verdicts for x in (v.baseline, v.value) if x is not None))

    def value(x: float | None) -> Entry:
        return Entry(ABSENT) if x is None else Entry(scale.show(x), x)

    change = Column("change", "ratio" if metric.effect == "ratio" else f"difference in {metric.unit}")
    columns = Column("cell", numeric=False), Column("baseline", scale.unit), Column("value", scale.unit), change
    rows = tuple(
        (Entry(v.label), value(v.baseline), value(v.value), replace(_change(v.change), outcome=judged.word(v)))
        for v in verdicts
    )
    notes = tuple(f"{v.label}: {v.reason}." for v in verdicts if v.reason)
    return Table(metric.name, f"{judged.command} {metric.name}", metric.definition, columns, rows, notes)


def _change(change: Estimate | None) -> Entry:
    """With its interval; an exact one needs none."""
    if change is None or not math.isfinite(change.value):
        return Entry(ABSENT)
    if change.low == change.high:
        return Entry(significant(change.value, 5), change.value)
    if not change.known:
        return Entry(f"{significant(change.value, 3)} [no interval, n {change.n}]", change.value)
    places = places_for(change.half_width)
    value, low, high = (f"{x:.{places}f}" for x in (change.value, change.low, change.high))
    return Entry(f"{value} [{low}, {high}]", change.value, change.low, change.high)
