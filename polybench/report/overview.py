"""The first table of a report: one row an activation, one column a question."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from polybench.compare.comparison import Comparison, across
from polybench.document import Column, Entry, Table
from polybench.plan.tuning import WORDS
from polybench.report.wording import change_entry, status_word
from polybench.run.store import Run
from polybench.trial import Cell

# What is asked of a run, where it was measured: (metric, header).
_ASKED = (
    ("total_time", "time of a block"),
    ("saved_bytes", "bytes kept for backward"),
    ("tokens_per_s", "training tokens/s"),
    ("step_peak_bytes", "peak of a training step"),
    ("val_loss", "held-out loss"),
)


def overview(run: Run) -> Table | None:
    """Each activation against the reference in one cell of every question; None for a single question.

    Where a metric was measured in several cells, the block is preferred to the bare activation, and
    then the cell with the most activations, of these the last, which is the largest as people write them.
    """
    reference = run.suite["reference"]
    plain = {b["name"]: b["backends"][0] for b in run.suite["benchmarks"]}
    columns, told = [], []
    chosen: list[dict[str, Comparison]] = []
    for metric, header in _ASKED:
        found = [c for c in across(run, only=metric) if c.cell.backend == plain.get(c.point.benchmark)]
        found = [c for c in found if dict(c.cell.axes).get("level", "block") == "block"] or found
        if not found:
            continue
        groups: dict[tuple[str, Cell], list[Comparison]] = defaultdict(list)
        for c in found:
            groups[c.point.benchmark, c.cell.place].append(c)
        most = max(map(len, groups.values()))
        group = [g for g in groups.values() if len(g) == most][-1]
        chosen.append({c.cell.activation: c for c in group})
        difference = group[0].metric.effect == "difference"
        unit = f"difference in {group[0].metric.unit}" if difference else "ratio"
        columns.append(Column(header, unit, group[0].metric.definition))
        rate = WORDS.get(str(dict(group[0].cell.axes).get("lr")))
        told.append(f"{header}: {metric} of {group[0].point.benchmark}" + (f", {rate}" if rate else ""))
    if len(columns) < 2:
        return None
    rows = []
    for name in run.suite["activations"]:
        row = [Entry(name)]
        for by_name in chosen:
            there = by_name.get(name)
            row.append(_entry(there, reference) if there else Entry("–"))
        rows.append(tuple(row))
    caption = f"Everything against {reference}, with intervals; details in the tables below. {'; '.join(told)}."
    return Table("overview", "Overview", caption, (Column("activation", numeric=False), *columns), tuple(rows))


def _entry(comparison: Comparison, reference: str) -> Entry:
    if comparison.value is None:
        return Entry(status_word(comparison.point))
    entry = change_entry(comparison, reference)
    return replace(entry, best=False)
