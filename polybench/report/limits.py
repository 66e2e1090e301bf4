"""How far a cell is from what this machine can do: its limit, its share of it, and what binds it."""

from __future__ import annotations

from collections.abc import Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.limits import KIND, Limit, limits, timeless
from polybench.compare.points import TIMELESS, Point
from polybench.document import Column, Entry, Table
from polybench.measure.speed_metrics import FLOPS, TOTAL
from polybench.metric import significant
from polybench.report.section import Section
from polybench.report.wording import head_columns, head_entries, name_of, show, varying_axes
from polybench.stats import CONFIDENCE_TIME


def section(comparisons: Comparisons) -> Section:
    """A table for each benchmark that timed something with a known limit."""
    tables, notes = [], list[str]()
    for name in [b.name for b in comparisons.run.suite.benchmarks if b.kind == KIND]:
        points = [p for p in comparisons.points() if p.benchmark == name]
        notes += [f"{name_of(p)} has no limit here, {TIMELESS}." for p in timeless(points)]
        if rows := list(limits(points)):
            silent = [p for p in points if not p.values(FLOPS.name) and p.values(TOTAL.name)]
            tables.append(_shares(comparisons, name, rows, silent))
    return Section(tables=tuple(tables), notes=tuple(notes))


def _shares(comparisons: Comparisons, name: str, bounds: Sequence[Limit], silent: Sequence[Point]) -> Table:
    varying, shared = varying_axes([limit.point.cell for limit in bounds])
    columns = (
        *head_columns(varying),
        Column("moved", "GB/s", "Least bytes of forward and backward over the time they took."),
        Column("copy", "GB/s", "A copy of the hidden tensor in the same blocks: read once and written once."),
        Column("computed", "GFLOP/s", "Operations of forward and backward over the time they took."),
        Column("product", "GFLOP/s", "The block's first product in the same blocks."),
        Column("share of the limit", "", "The least time over the measured time, block by block."),
        Column("bound by", "", "The largest least time: memory, arithmetic, or launches.", numeric=False),
    )
    rows = tuple(
        (
            *head_entries(limit.point.cell, varying),
            _giga(limit.bandwidth),
            _giga(limit.copy_bandwidth),
            _giga(limit.rate),
            _giga(limit.product_rate),
            Entry(show(limit.share), limit.share.value, limit.share.low, limit.share.high),
            Entry(limit.bound),
        )
        for limit in bounds
    )
    return Table(
        key=f"{name}-limits",
        title=f"{name}: limits",
        caption=(
            f"On {comparisons.run.device}, {', '.join(shared)}. An activation alone must at least read every input and "
            "write every output once, as fast as the copy does in the same blocks: that is its limit. Of a block or "
            "decoder the share is the model FLOPs utilisation, against the product. "
            f"{CONFIDENCE_TIME:.0%} intervals. Bound by: the largest of the least times of moving, computing and "
            "starting the operators over a single token, less those clearly longer than the time itself."
        ),
        columns=columns,
        rows=rows,
        notes=tuple(f"{name_of(p)} declares no cost, so it has no limit here." for p in silent),
    )


def _giga(value: float | None) -> Entry:
    return Entry("–") if value is None else Entry(significant(value / 1e9, 3), value)
