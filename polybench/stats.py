"""Statistics over plain lists of floats: intervals and tests. No clock, no file, no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from polybench.medians import Launches, median_interval

CONFIDENCE_TIME = 0.98
CONFIDENCE_SEED = 0.95
ALPHA = 0.05
LEAST_BLOCKS = 7  # below, no order statistic of a median reaches 98 %
MANY_LAUNCHES = 5  # from here on launches themselves are the sample
MOST_PAIRS = 40  # of `sign_flip`, which holds 2^(n / 2) sums
MOST_EXCESS = 2.0  # of `launch_excess`, up to which blocks may explain how launches differ
STANDS_OUT = 4.0  # the same ratio of one comparison alone, by chance in 2 of 100
_ALIKE = 1e-9  # of their mean: differences that lie closer are one number, rounded
_ROUNDING = 1e-12  # of the sum of all magnitudes: sums that lie closer are equal
_LEAST_P = 1e-12  # smaller ones are not told apart


@dataclass(frozen=True)
class Estimate:
    """A value with its interval from n observations; the interval is infinite where n is too small."""

    value: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def map(self, function: Callable[[float], float]) -> Estimate:
        """Value and ends through an increasing function."""
        return Estimate(function(self.value), function(self.low), function(self.high), self.n)

    @property
    def known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


def of_launches(
    launches: Sequence[Sequence[float]], confidence: float = CONFIDENCE_TIME, excess: float | None = None
) -> Estimate:
    """The centre of block-wise log-ratios: median in a launch, mean over launches.

    One launch: exact order-statistic interval. Five or more: t over the launches' medians. Between,
    see `_few`, which is helped by the `launch_excess` of all that was measured in the same launches.
    Simulated with normal noise, three launches of 40 blocks, nominal 98 %: it covers 99 % where launches
    agree; where they differ by two to five times what blocks explain, 97 % if every arm does so by itself,
    93 % if all share the reference's offset, 90 % if one arm alone does. Two launches cover up to 5 % less.
    A two-level bootstrap covered 86 %.

    Raises:
        ValueError: there is no block at all.
    """
    found = Launches.of(launches)
    value, count = found.value, len(found.medians)
    if count == 1:
        low, high = median_interval(found.kept[0], confidence)
    elif count >= MANY_LAUNCHES:
        half = t_quantile(count - 1, confidence) * math.sqrt(found.between / count)
        low, high = value - half, value + half
    elif found.fewest < LEAST_BLOCKS:
        low, high = -math.inf, math.inf
    else:
        half = _few(found, confidence, excess)
        low, high = min(value - half, *found.medians), max(value + half, *found.medians)
    return Estimate(value, low, high, found.blocks)


def launch_excess(arms: Sequence[Sequence[Sequence[float]]]) -> float | None:
    """How much launches differ beyond what their blocks explain, pooled over all that shares the launches.

    The variance between medians of launches over the variance of a median inside of one; about 1 where
    fresh processes change nothing. None with a single launch or too few blocks.
    """
    between, within = 0.0, 0.0
    for launches in map(Launches.of, arms):
        if len(launches) > 1 and min(map(len, launches)) >= LEAST_BLOCKS:
            between += launches.between
            within += launches.within
    return between / within if within else None


def _few(launches: Launches, confidence: float, excess: float | None) -> float:
    """Half-width for two to four launches, by t with as many degrees of freedom as the data deserve.

    Both the spread between the medians and the unevenness inside the launches estimate how uncertain
    a launch's median is. The larger counts. Where blocks explain all of the spread, their degrees of
    freedom come on top of those of the launches, which alone would make the interval useless. Whether
    they do is asked of the comparison itself, or, with more data and so more trust, of all its siblings,
    unless it stands out among them.
    """
    count, between, within = len(launches.medians), launches.between, launches.within
    own = between / within if within else math.inf
    used = own if excess is None else max(excess / MOST_EXCESS, own / STANDS_OUT)
    degrees = count - 1.0 + max(0.0, 1 - used) * (launches.blocks - count)
    return t_quantile(degrees, confidence) * math.sqrt(max(between, within) / count)


def paired(differences: Sequence[float], confidence: float = CONFIDENCE_SEED) -> Estimate:
    """Mean of paired differences with its t interval; infinite for a single pair."""
    n = len(differences)
    if n == 0:
        raise ValueError("no pair was measured")
    mean = statistics.fmean(differences)
    if n == 1:
        return Estimate(mean, -math.inf, math.inf, 1)
    half = t_quantile(n - 1, confidence) * statistics.stdev(differences) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def t_test(differences: Sequence[float]) -> float:
    """Two-sided p of the paired t test that the mean is zero; 1 for a single pair.

    Differences that are all one number, as scores on few questions may be, show no spread that could be tested with:
    of them counts how seldom signs agree by chance.
    """
    n = len(differences)
    if n < 2:
        return 1.0
    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    if alike(differences):
        return least_p(n) if mean else 1.0
    from scipy.special import stdtr

    return float(2 * stdtr(n - 1, -abs(mean) / (spread / math.sqrt(n))))


def t_within(differences: Sequence[float], margin: float) -> float:
    """p of two one-sided t tests that the mean is not within the margin (Schuirmann 1987); 1 for a single pair.

    The source is doi:10.1007/BF01068419: both ends of the margin are tested, and the larger p counts.
    """
    n = len(differences)
    if n < 2:
        return 1.0
    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    room = margin - abs(mean)
    if alike(differences):
        return 1.0 if room <= 0 else least_p(n) if mean else 0.0
    from scipy.special import stdtr

    return float(stdtr(n - 1, -room / (spread / math.sqrt(n))))


def alike(differences: Sequence[float]) -> bool:
    """Whether all are one number, but for rounding."""
    return statistics.stdev(differences) <= _ALIKE * abs(statistics.fmean(differences))


def least_p(n: int) -> float:
    """Two-sided p that the signs of so many differences agree by chance, below which no sign test gets."""
    return 2.0 ** (1 - n)


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the exact sign-flip test; its least value is `least_p`.

    The sums of all sign patterns are those of one half of the pairs beside those of the other.

    Raises:
        ValueError: more than 40 pairs, where the sums of a half are too many.
    """
    import numpy as np

    n, seen = len(differences), abs(math.fsum(differences))
    if n > MOST_PAIRS:
        raise ValueError(f"{n} pairs are too many to enumerate")
    least = seen - _ROUNDING * math.fsum(map(abs, differences))
    if least <= 0:
        return 1.0

    def sums(half: Sequence[float]) -> Any:
        found = np.zeros(1)
        for each in half:
            found = np.concatenate([found + each, found - each])
        return found

    one, other = sums(differences[: n // 2]), np.sort(sums(differences[n // 2 :]))
    beyond = other.size - np.searchsorted(other, least - one)  # of the one sign, and as many of the other
    return float(2 * beyond.sum() / 2**n)


def p_beyond(interval: Callable[[float], Estimate], margin: float) -> float:
    """The least level at which `interval(1 - level)` lies beyond a margin on either side: its two-sided p.

    Found by bisection, so that a test never contradicts the interval it belongs to.
    """

    def excludes(level: float) -> bool:
        found = interval(1 - level)
        return found.low > margin or found.high < -margin

    if not excludes(1.0):
        return 1.0
    low, high = math.log(_LEAST_P), 0.0
    if excludes(_LEAST_P):
        return _LEAST_P
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if excludes(math.exp(middle)) else (middle, high)
    return math.exp(high)


def clopper_pearson(hits: int, trials: int, confidence: float = CONFIDENCE_SEED) -> tuple[float, float]:
    """Exact two-sided interval of a share; one-sided where nothing or everything hit, so 0 of 59 gives 5 %."""
    from scipy.special import betaincinv

    if trials == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / (1 if hits in (0, trials) else 2)
    low = 0.0 if hits == 0 else float(betaincinv(hits, trials - hits + 1, tail))
    high = 1.0 if hits == trials else float(betaincinv(hits + 1, trials - hits, 1 - tail))
    return low, high


def t_power(degrees: float, shift: float, confidence: float) -> float:
    """How often a t statistic whose centre is `shift` standard errors off 0 exceeds the two-sided quantile upwards."""
    from scipy.special import nctdtr

    quantile = t_quantile(degrees, confidence)
    below = float(nctdtr(degrees, shift, quantile))
    if math.isnan(below):  # as scipy 1.17 has it at single points far out; there Johnson and Welch 1940 are close
        centre, spread = quantile * (1 - 1 / (4 * degrees)), math.sqrt(1 + quantile**2 / (2 * degrees))
        below = statistics.NormalDist(shift, spread).cdf(centre)
    return 1 - below


@lru_cache(maxsize=1 << 14)
def t_quantile(degrees: float, confidence: float) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))
