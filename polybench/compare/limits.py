"""What a cell could reach: memory, arithmetic or launches, and its share of that limit."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from polybench.compare.points import Point, by_place, stopped
from polybench.document import ABSENT
from polybench.measure.speed_metrics import COPY, COPY_BYTES, FLOPS, LAUNCH, LEAST_BYTES, PRODUCT, PRODUCT_FLOPS, TOTAL
from polybench.metric import Metric
from polybench.stats import Estimate, launch_excess, of_launches

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


def limits(points: Iterable[Point]) -> Iterator[Limit]:
    """A limit for each point of a benchmark that says what it must move or compute."""
    timed = [p for p in points if p.cell.kind == KIND and p.values(TOTAL.name)]
    without = set(timeless(timed))
    known = [
        p
        for p in timed
        if p not in without
        and (_one(p, LEAST_BYTES) or _one(p, FLOPS))
        and _one(p, COPY_BYTES)
        and all(r.get(yardstick.name) for r in p.ok() for yardstick in (COPY, PRODUCT))
    ]
    for group in by_place(known).values():
        excess = launch_excess([_shares(p) for p in group])
        yield from (_limit(p, excess) for p in group)


def timeless(points: Iterable[Point]) -> list[Point]:
    """Those of which a clock said that something took no time."""
    return [p for p in points if p.cell.kind == KIND and stopped(p, TOTAL.name, COPY.name, PRODUCT.name)]


def _least_times(point: Point) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Seconds that moving and computing take at least, and seconds taken, block by block, a list a launch."""
    least, flops = _one(point, LEAST_BYTES), _one(point, FLOPS)
    copied, product = _one(point, COPY_BYTES), _one(point, PRODUCT_FLOPS)
    moving, computing, taken = [], [], []
    for record in point.ok():
        columns = [record.get(metric.name) for metric in (TOTAL, COPY, PRODUCT)]
        times, copies, products = (m.values if m else () for m in columns)
        moving.append([least * t / copied for t in copies])
        computing.append([flops * t / product for t in products])
        taken.append(list(times))
    return moving, computing, taken


def _shares(point: Point) -> list[list[float]]:
    """Logarithm of the least time over the time taken, block by block: of moving for an activation alone, which no
    matrix product bounds, else of computing."""
    moving, computing, taken = _least_times(point)
    least = moving if _one(point, LEAST_BYTES) else computing
    pairs = zip(least, taken, strict=True)
    return [[math.log(b / t) for b, t in zip(bound, times, strict=True)] for bound, times in pairs]


def _limit(point: Point, excess: float | None) -> Limit:
    least, flops = _one(point, LEAST_BYTES), _one(point, FLOPS)
    moving, computing, _ = _least_times(point)
    total = statistics.median(point.values(TOTAL.name))
    overhead = statistics.median(point.values(LAUNCH.name) or [0.0])
    least_times = {
        "memory": statistics.median(t for launch in moving for t in launch),
        "arithmetic": statistics.median(t for launch in computing for t in launch),
        "launches": overhead,
    }
    return Limit(
        point=point,
        bandwidth=least / total if least else None,
        copy_bandwidth=_one(point, COPY_BYTES) / statistics.median(point.values(COPY.name)),
        rate=flops / total if flops else None,
        product_rate=_one(point, PRODUCT_FLOPS) / statistics.median(point.values(PRODUCT.name)),
        share=of_launches(_shares(point), excess=excess).map(math.exp),
        bound=_bound(least_times, total),
    )


def _bound(least_times: dict[str, float], total: float) -> str:
    """The largest least time, leaving out what took clearly longer than the cell itself and so is no limit of it."""
    possible = {what: seconds for what, seconds in least_times.items() if seconds <= _SLACK * total}
    return max(possible, key=lambda what: possible[what]) if possible else ABSENT


def _one(point: Point, metric: Metric) -> float:
    """The value of an exact metric, 0 where it was not measured."""
    return max(point.values(metric.name), default=0.0)
