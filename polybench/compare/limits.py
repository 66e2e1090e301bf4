"""What a cell could reach: memory, arithmetic or launches, and its share of that limit."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from polybench.compare.grid import Point, points
from polybench.run.store import Run
from polybench.stats import Estimate, launch_excess, of_launches
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
        groups[point.cell.place].append(point)
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


def _one(point: Point, metric: str) -> float:
    """The value of an exact metric, 0 where it was not measured."""
    return max(point.values(metric), default=0.0)
