"""Losses on several texts side by side: every activation beside the reference, a column a text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.derive import on_texts
from polybench.compare.points import Point
from polybench.document import ABSENT, Column, Entry, Table
from polybench.measure.kinds.pretrain import OTHER_LOSSES, VAL_LOSS
from polybench.metric import Metric
from polybench.report.section import Section
from polybench.report.wording import change_entry, head_columns, head_entries, varying_axes
from polybench.stats import CONFIDENCE_SEED


def section(comparisons: Comparisons) -> Section:
    """A table for each benchmark whose models were evaluated on further texts."""
    benchmarks: dict[str, list[Point]] = defaultdict(list)
    for point in comparisons.points():
        if any(comparisons.derived(metric.name) for metric in on_texts(point.cell)):
            benchmarks[point.benchmark].append(point)
    return Section(tables=tuple(_side_by_side(comparisons, name, points) for name, points in benchmarks.items()))


def _side_by_side(comparisons: Comparisons, benchmark: str, points: Sequence[Point]) -> Table:
    """The text that was trained on comes first, by what is held out of it."""
    reference = comparisons.reference
    varying, shared = varying_axes([p.cell for p in points])
    trained_on = " or ".join(dict.fromkeys(str(p.cell.axis("corpus")) for p in points))
    metrics = {VAL_LOSS.name: VAL_LOSS} | {m.name: m for p in points for m in on_texts(p.cell)}
    names = {VAL_LOSS.name: f"{trained_on}, held out"} | {m: m.removeprefix("loss on ") for m in [*metrics][1:]}
    told = {name: comparisons.to_reference(name) for name in metrics}
    return Table(
        key=f"{benchmark}-texts",
        title=f"{benchmark}: loss on every text, side by side",
        caption=f"On {', '.join([comparisons.run.device, *shared])}. Of {reference} the mean over seeds in "
        f"{VAL_LOSS.unit}, of all others the difference from it, paired by seed, with its {CONFIDENCE_SEED:.0%} t "
        "interval. Each column is judged by itself, after Holm over the activations of the cell, as in the tables by "
        f"seed; a claim on {OTHER_LOSSES.name} is judged on all further texts together.",
        columns=(*head_columns(varying), *(Column(names[m.name], m.unit, m.definition) for m in metrics.values())),
        rows=tuple(
            (*head_entries(p.cell, varying), *(_entry(told[m].get(p), reference, metrics[m]) for m in metrics))
            for p in points
        ),
    )


def _entry(comparison: Comparison | None, reference: str, metric: Metric) -> Entry:
    if comparison is None:
        return Entry(ABSENT)
    value = comparison.value
    if comparison.cell.activation == reference and value is not None:
        return Entry(f"{value:.4f}", value, outcome=comparison.diverged)
    return change_entry(comparison, reference)
