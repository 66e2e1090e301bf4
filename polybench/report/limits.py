"""How far a cell is from what this machine can do: its limit, its share of it, and what binds it."""

from __future__ import annotations

from collections.abc import Sequence

from polybench.compare.grid import points
from polybench.compare.limits import KIND, Limit, limits
from polybench.document import Column, Entry, Table
from polybench.metric import significant
from polybench.report.wording import field_of, name_of, show, varying_axes
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_TIME


def tables(run: Run) -> tuple[Table, ...]:
    """A table for each benchmark that timed something with a known limit."""
    names = [b["name"] for b in run.suite["benchmarks"] if b["kind"] == KIND]
    found = {name: list(limits(run, name)) for name in names}
    return tuple(_table(run, name, rows) for name, rows in found.items() if rows)


def _table(run: Run, name: str, found: Sequence[Limit]) -> Table:
    varying, shared = varying_axes([limit.point.cell for limit in found])
    columns = (
        Column("activation", numeric=False),
        *(Column(a, numeric=False) for a in varying),
        Column("moved", "GB/s", "Least bytes of forward and backward over the time they took."),
        Column("copy", "GB/s", "A copy of the hidden tensor in the same blocks: read once and written once."),
        Column("computed", "GFLOP/s", "Operations of forward and backward over the time they took."),
        Column("product", "GFLOP/s", "The block's first product in the same blocks."),
        Column("share of the limit", "", "The least time over the measured time, block by block."),
        Column("bound by", "", "The largest least time: memory, arithmetic, or launches.", numeric=False),
    )
    rows = tuple(
        (
            Entry(limit.point.cell.activation),
            *(Entry(field_of(limit.point.cell, a)) for a in varying),
            _giga(limit.bandwidth),
            _giga(limit.copy_bandwidth),
            _giga(limit.rate),
            _giga(limit.product_rate),
            Entry(show(limit.share), limit.share.value, limit.share.low, limit.share.high),
            Entry(limit.bound),
        )
        for limit in found
    )
    silent = [p for p in points(run) if p.benchmark == name and not p.values("flops") and p.values("total_time")]
    return Table(
        key=f"{name}-limits",
        title=f"{name}: limits",
        caption=(
            f"On {run.header['device']}, {', '.join(shared)}. An activation alone must at least read every input and "
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
