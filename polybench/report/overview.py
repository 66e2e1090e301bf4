"""The first table of a report: one row an activation, one column a question."""

from __future__ import annotations

from collections.abc import Sequence

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import by_place
from polybench.compare.step_time import OWN_CLOCK
from polybench.document import ABSENT, Column, Entry, Table
from polybench.measure.kinds.pretrain import THROUGHPUT
from polybench.measure.speed_metrics import STEP_RATE, TOTAL
from polybench.metric import Metric
from polybench.plan.tuning import WORDS
from polybench.report.section import Section
from polybench.report.wording import change_entry, head_columns, status_word

# How what is called tokens a second was timed.
_CLOCKS = {STEP_RATE.name: ", steps taken in turns", THROUGHPUT.name: f", timed {OWN_CLOCK}"}
Told = list[tuple[Metric, Sequence[Comparison]]]


def section(comparisons: Comparisons) -> Section:
    """Each activation against the reference in one cell of every question; empty for a single question."""
    found = [(metric, cells) for metric in _told(comparisons) if (cells := _cells(comparisons, metric))]
    metrics = _by_steps(comparisons, found)
    if len(metrics) < 2:
        return Section()
    reference, columns, places = comparisons.reference, head_columns(()), []
    for metric, cells in metrics:
        unit = f"difference in {metric.unit}" if metric.effect == "difference" else "ratio"
        columns.append(Column(metric.header, unit, metric.definition))
        rate = WORDS.get(str(cells[0].cell.get("lr")))
        place = f"{metric.header}: {metric.name} of {cells[0].benchmark}" + (f", {rate}" if rate else "")
        margin = comparisons.grid.loss_margin(cells[0].benchmark, metric)
        if margin and any(c.outcome == "same" for c in cells):
            place += f", same within {margin:g} {metric.unit}"
        places.append(place + _CLOCKS.get(metric.name, ""))
    by_name = [{c.activation: c for c in cells} for _, cells in metrics]
    rows = tuple(
        (Entry(name), *(_entry(of.get(name), reference) for of in by_name))
        for name in comparisons.run.suite.activations
    )
    caption = f"Everything against {reference}, with intervals. {'; '.join(places)}."
    return Section(tables=(Table("overview", "Overview", caption, tuple(columns), rows),))


def _told(comparisons: Comparisons) -> list[Metric]:
    """The metrics that have a header: what it costs first, what it buys last."""
    told = [m for m in comparisons.metrics().values() if m.header]
    return sorted(told, key=lambda m: -m.asked.rank if m.asked else 0)


def _cells(comparisons: Comparisons, metric: Metric) -> Sequence[Comparison]:
    """All activations in one cell.

    Where a metric was measured in several cells, the block is preferred to the bare activation, and
    then the cell with the most activations, of these the last, which is the largest as people write them.
    """
    plain = comparisons.grid.first_backend
    beside = comparisons.to_reference(metric.name).values()
    groups = list(by_place(c for c in beside if c.cell.backend == plain(c.benchmark)).values())
    measured = [group for group in groups if any(c.value is not None for c in group)]
    groups = measured if measured or comparisons.derived(metric.name) else groups
    if metric.name == TOTAL.name:  # of a decoder it is a part of the step, which has a column of its own
        groups = [group for group in groups if _level(group) != "decoder"]
    groups = [group for group in groups if _level(group) == "block"] or groups
    most = max(map(len, groups), default=0)
    return next((group for group in reversed(groups) if len(group) == most), [])


def _level(group: Sequence[Comparison]) -> str:
    return str(group[0].cell.get("level", "block"))


def _by_steps(comparisons: Comparisons, told: Told) -> Told:
    """With tokens a second once: of steps timed in turns, if the training that is told took them, else of itself."""
    trained = next((cells for metric, cells in told if metric.name == THROUGHPUT.name), None)
    if trained is None:
        return told
    steps = comparisons.steps_of([c.point for c in trained])
    if steps is None:
        return [(metric, cells) for metric, cells in told if metric.name != STEP_RATE.name]
    beside = comparisons.to_reference(STEP_RATE.name).values()
    timed = [c for c in beside if (c.benchmark, c.cell.place) == steps.group]
    return [
        (metric, timed if metric.name == STEP_RATE.name else cells)
        for metric, cells in told
        if metric.name != THROUGHPUT.name
    ]


def _entry(comparison: Comparison | None, reference: str) -> Entry:
    if comparison is None:
        return Entry(ABSENT)
    if comparison.value is None:
        return Entry(comparison.point.diverged or status_word(comparison.point))
    return change_entry(comparison, reference)
