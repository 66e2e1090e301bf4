"""Medians of blocks: the interval of one launch's, and what several launches' together take to be judged."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import cached_property, lru_cache

_NORMAL_90 = statistics.NormalDist().inv_cdf(0.95)  # half of the interval that holds 90 % of a normal value


class Launches(tuple[Sequence[float], ...]):
    """Block-wise log-ratios, a sequence a launch, with what their intervals take worked out once.

    A test asks for the interval at one confidence after the other, and a report asks for it again and again.
    """

    @classmethod
    def of(cls, launches: Sequence[Sequence[float]]) -> Launches:
        return launches if isinstance(launches, cls) else cls(launches)

    @cached_property
    def kept(self) -> list[Sequence[float]]:
        """Those with a block. Raises ValueError where there is none at all."""
        kept = [v for v in self if v]
        if not kept:
            raise ValueError("no block was measured")
        return kept

    @cached_property
    def medians(self) -> list[float]:
        return [statistics.median(v) for v in self.kept]

    @cached_property
    def value(self) -> float:
        return statistics.fmean(self.medians)

    @cached_property
    def between(self) -> float:
        """The variance between the medians of launches, two at least."""
        return variance(self.medians)

    @cached_property
    def within(self) -> float:
        """The variance of a median that the unevenness inside of launches explains, on average."""
        return statistics.fmean(map(variance_of_median, self.kept))

    @cached_property
    def blocks(self) -> int:
        return sum(map(len, self.kept))

    @cached_property
    def fewest(self) -> int:
        """Blocks of the shortest launch."""
        return min(map(len, self.kept))


def variance(values: Sequence[float]) -> float:
    """Of two values or more; the library's is exact in fractions, which takes twenty times as long here."""
    mean = statistics.fmean(values)
    return math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1)


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Exact order-statistic interval of the median; infinite when n is too small for the confidence."""
    rank = _rank(len(values), confidence)
    if rank == 0:
        return -math.inf, math.inf
    ordered = sorted(values)
    return ordered[rank - 1], ordered[-rank]


@lru_cache(maxsize=1 << 12)
def _rank(n: int, confidence: float) -> int:
    """Which of n ordered values, counted from either end, bound the interval; 0 where none do."""
    tail, below, rank = (1 - confidence) / 2, 0, 0
    for k in range(n // 2):
        below += math.comb(n, k)
        if below / 2**n > tail:  # whole numbers, since a power of a half vanishes beyond n = 1074
            break
        rank = k + 1
    return rank


def variance_of_median(values: Sequence[float]) -> float:
    """From the exact 90 % interval of the median, as if it were normal."""
    low, high = median_interval(values, 0.9)
    return ((high - low) / 2 / _NORMAL_90) ** 2
