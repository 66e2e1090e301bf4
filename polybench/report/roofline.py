"""How far a cell is from what this machine can do: its limit, its share of it, and what binds it."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from polybench.compare.grid import Point, points
from polybench.document import Column, Entry, Table
from polybench.metric import significant
from polybench.report.table import field_of, name_of, show, varying_axes
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_TIME, Estimate, launch_excess, of_launches
from polybench.trial import Cell

KIND = "speed"
_SLACK = 1.25  # times the measured time, up to which a least time may be a limit: a copy is as uneven as the cell


@dataclass(frozen=True)
class Limit:
    """Medians over every block of a cell, and the share with its interval.

    `bandwidth` and `rate` are what the cell reached in B/s and FLOP/s, `copy_bandwidth` and
    `product_rate` what a copy and a product reached in the same blocks. `bound` is the largest of the
    three least times: moving the bytes as the copy does, doing the operations as the product does,
    starting the operators over one token. `share` is the first, or of a block or decoder the second, over
    the measured time.
    """

    point: Point
    bandwidth: float | None
    copy_bandwidth: float
    rate: float | None
    product_rate: float
    share: Estimate
    bound: str


def limits(run: Run, benchmark: str) -> Iterator[Limit]:
    """A limit for each point that says what it must move or compute."""
    timed = [p for p in points(run) if p.benchmark == benchmark and p.cell.kind == KIND and p.values("total_time")]
    known = [p for p in timed if (_one(p, "least_bytes") or _one(p, "flops")) and _one(p, "copy_bytes")]
    groups: dict[Cell, list[Point]] = defaultdict(list)
    for point in known:
        groups[point.cell.beside("")].append(point)
    for group in groups.values():
        excess = launch_excess([_shares(p) for p in group])
        yield from (_limit(p, excess) for p in group)


def _least_times(point: Point) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Seconds that moving and computing take at least, and seconds taken, block by block, a list a launch."""
    least, flops = _one(point, "least_bytes"), _one(point, "flops")
    copied, product = _one(point, "copy_bytes"), _one(point, "product_flops")
    moving, computing, taken = [], [], []
    for record in point.ok():
        columns = [record.get(name) for name in ("total_time", "copy_time", "product_time")]
        times, copies, products = (m.values if m else () for m in columns)
        moving.append([least * t / copied for t in copies])
        computing.append([flops * t / product for t in products])
        taken.append(list(times))
    return moving, computing, taken


def _shares(point: Point) -> list[list[float]]:
    """Logarithm of the least time over the time taken, block by block: of moving for an activation alone, which no
    matrix product bounds, else of computing."""
    moving, computing, taken = _least_times(point)
    least = moving if _one(point, "least_bytes") else computing
    pairs = zip(least, taken, strict=True)
    return [[math.log(b / t) for b, t in zip(bound, times, strict=True)] for bound, times in pairs]


def _limit(point: Point, excess: float | None) -> Limit:
    least, flops = _one(point, "least_bytes"), _one(point, "flops")
    moving, computing, _ = _least_times(point)
    total = statistics.median(point.values("total_time"))
    overhead = statistics.median(point.values("launch_time") or [0.0])
    least_times = {
        "memory": statistics.median(t for launch in moving for t in launch),
        "arithmetic": statistics.median(t for launch in computing for t in launch),
        "launches": overhead,
    }
    return Limit(
        point=point,
        bandwidth=least / total if least else None,
        copy_bandwidth=_one(point, "copy_bytes") / statistics.median(point.values("copy_time")),
        rate=flops / total if flops else None,
        product_rate=_one(point, "product_flops") / statistics.median(point.values("product_time")),
        share=of_launches(_shares(point), excess=excess).map(math.exp),
        bound=_bound(least_times, total),
    )


def _bound(least_times: dict[str, float], total: float) -> str:
    """The largest least time, leaving out what took clearly longer than the cell itself and so is no limit of it."""
    possible = {what: seconds for what, seconds in least_times.items() if seconds <= _SLACK * total}
    return max(possible, key=lambda what: possible[what]) if possible else "–"


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


def _one(point: Point, metric: str) -> float:
    """The value of an exact metric, 0 where it was not measured."""
    return max(point.values(metric), default=0.0)
