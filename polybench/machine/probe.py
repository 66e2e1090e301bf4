"""How evenly this machine runs and how well it tells the time: a fixed piece of work, over and over.

Arithmetic is SHA-256 over a few kilobytes that stay in the first cache; memory is a copy larger than most caches.
Both run in C, so that the interpreter's own unevenness stays out.
"""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HASHED = 16 << 10  # bytes a round
ROUNDS = 64  # of hashing in a sample, about a millisecond
COPIED = 32 << 20  # bytes copied in a sample, some milliseconds


@dataclass(frozen=True)
class Spread:
    """Samples of one piece of work.

    Slow drift widens `drift` alone: it cancels in the ratio of two samples taken one after the other, and such a ratio
    is what polybench decides by.
    """

    samples: int
    median_s: float
    drift: float  # interquartile range of the samples, as a share of their median
    jitter: float  # interquartile range of log(b / a) over pairs of neighbours
    worst: float  # longest sample as a multiple of the median


@dataclass(frozen=True)
class Probe:
    """What the probe saw; `preempted` is the share of the wall time in which the thread did not run."""

    arithmetic_cpu: Spread
    arithmetic_wall: Spread
    copy_cpu: Spread
    copy_wall: Spread
    preempted: float
    clock_resolution_s: float  # least step seen between two readings of perf_counter
    clock_cost_s: float  # of one reading of perf_counter
    thread_clock_cost_s: float  # of one reading of thread_time
    gap_s: float  # longest time between two readings in a row


def probe(seconds: float = 3.0) -> Probe:
    """Run the probe, which keeps one core busy for about `seconds`."""
    block, source, target = bytes(HASHED), bytes(COPIED), memoryview(bytearray(COPIED))

    def hash_rounds() -> None:
        for _ in range(ROUNDS):
            hashlib.sha256(block).digest()

    def copy() -> None:
        target[:] = source

    arithmetic_cpu, arithmetic_wall = _sample(hash_rounds, 0.4 * seconds)
    copy_cpu, copy_wall = _sample(copy, 0.4 * seconds)
    steps = _steps(0.2 * seconds)
    worked, passed = sum(arithmetic_cpu) + sum(copy_cpu), sum(arithmetic_wall) + sum(copy_wall)
    return Probe(
        arithmetic_cpu=spread(arithmetic_cpu),
        arithmetic_wall=spread(arithmetic_wall),
        copy_cpu=spread(copy_cpu),
        copy_wall=spread(copy_wall),
        preempted=max(0.0, 1 - worked / passed) if passed else 0.0,
        clock_resolution_s=min((s for s in steps if s), default=0) * 1e-9,
        clock_cost_s=_cost(time.perf_counter_ns),
        thread_clock_cost_s=_cost(time.thread_time_ns),
        gap_s=max(steps) * 1e-9,
    )


def spread(samples: Sequence[float]) -> Spread:
    """Summary of samples in seconds; those of no length, which no ratio can be taken of, are left out.

    Raises ValueError when fewer than four are left.
    """
    kept = [s for s in samples if s > 0]
    if len(kept) < 4:
        raise ValueError(f"{len(kept)} samples of {len(samples)} have a length: the clock is too coarse for the work")
    ratios = [math.log(b / a) for a, b in zip(kept[::2], kept[1::2], strict=False)]
    middle = statistics.median(kept)
    return Spread(len(kept), middle, _iqr(kept) / middle, _iqr(ratios), max(kept) / middle)


def _iqr(values: Sequence[float]) -> float:
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low


def _sample(work: Callable[[], None], seconds: float) -> tuple[list[float], list[float]]:
    """Thread CPU time and wall time of each repeat; the first repeats, which fill caches, are left out."""
    cpu: list[float] = []
    wall: list[float] = []
    work()
    work()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(cpu) < 4:
        wall_0, cpu_0 = time.perf_counter_ns(), time.thread_time_ns()
        work()
        cpu_1, wall_1 = time.thread_time_ns(), time.perf_counter_ns()
        cpu.append((cpu_1 - cpu_0) * 1e-9)
        wall.append((wall_1 - wall_0) * 1e-9)
    return cpu, wall


def _steps(seconds: float) -> set[int]:
    """Distances between readings in a row, in nanoseconds, each once."""
    read = time.perf_counter_ns
    seen: set[int] = set()
    before = read()
    end = before + int(seconds * 1e9)
    while before < end:
        now = read()
        seen.add(now - before)
        before = now
    return seen


def _cost(clock: Callable[[], int], calls: int = 2000) -> float:
    """Seconds of one reading, the least over ten tries, which preemption cannot lengthen."""
    tries = []
    for _ in range(10):
        begin = time.perf_counter_ns()
        for _ in range(calls):
            clock()
        tries.append((time.perf_counter_ns() - begin) / calls * 1e-9)
    return min(tries)
