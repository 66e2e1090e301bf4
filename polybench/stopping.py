"""How much more of what would decide a comparison. No clock, no file, no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polybench.looks import share
from polybench.medians import Launches
from polybench.stats import ALPHA, CONFIDENCE_SEED, CONFIDENCE_TIME, MANY_LAUNCHES, alike, t_power, t_quantile

POWER = 0.8  # with which what is advised is to find what is so
MOST_SEEDS, _MOST_LAUNCHES = 1000, 1000  # more than this nobody measures
_SURE = 1000.0  # standard errors, where hardly a test misses anything


@dataclass(frozen=True)
class MoreSeeds:
    """How many more seeds would settle a comparison, and whether by showing that it is the same."""

    count: int
    same: bool = False

    def __str__(self) -> str:
        return f"about {self.count} more seed{'s' * (self.count > 1)}{' to show it is the same' * self.same}"


def more_seeds(differences: Sequence[float], tests: int = 1, margin: float = 0.0, look: int = 2) -> MoreSeeds | None:
    """How many more pairs would settle it with a power of 80 %, if mean and spread stay; None beyond 1000.

    By telling the mean from 0 or, where there is a margin, by showing that it lies within, whichever is sooner; at
    the strictest step of Holm over so many `tests`, and as the next `look`.
    """
    ways = more_apart(differences, tests, look), more_within(differences, margin, tests, look)
    return min(filter(None, ways), key=lambda way: way.count, default=None)


def more_apart(differences: Sequence[float], tests: int = 1, look: int = 2) -> MoreSeeds | None:
    """The same by telling the mean from 0 alone."""
    n = len(differences)
    if n < 2 or not (mean := abs(statistics.fmean(differences))):
        return None
    spread, error = statistics.stdev(differences), _error(tests, look)

    def power(total: int) -> float:
        return t_power(total - 1, _errors(mean, spread, total), 1 - error)

    total = _least(power, _first(differences, error))
    return MoreSeeds(total - n) if total else None


def more_within(differences: Sequence[float], margin: float, tests: int = 1, look: int = 2) -> MoreSeeds | None:
    """The same by showing that the mean lies within the margin alone."""
    n = len(differences)
    if n < 2 or (mean := abs(statistics.fmean(differences))) >= margin:
        return None
    spread, error = statistics.stdev(differences), _error(tests, look)
    confidence = max(CONFIDENCE_SEED, 1 - 2 * error)  # of a one-sided test

    def power(total: int) -> float:
        near, far = (t_power(total - 1, _errors(margin + m, spread, total), confidence) for m in (-mean, mean))
        return near + far - 1

    total = _least(power, _first(differences, error))
    return MoreSeeds(total - n, same=True) if total else None


def _error(tests: int, look: int) -> float:
    """What one test may spend at the strictest step of Holm, at this look."""
    return ALPHA / tests * share(look)


def _first(differences: Sequence[float], error: float) -> int:
    """The least number of pairs that could settle it: of differences without spread as many as signs need."""
    return max(len(differences) + 1, math.ceil(1 - math.log2(error)) if alike(differences) else 0)


def _errors(distance: float, spread: float, total: int) -> float:
    """A distance in standard errors of so many pairs; so far that no test misses it where nothing varies."""
    return min(_SURE, distance * math.sqrt(total) / spread) if spread else _SURE


def _least(power: Callable[[int], float], low: int) -> int | None:
    """The least number of seeds from `low` on that has the power, which grows with it."""
    high = MOST_SEEDS
    if power(high) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= POWER else (middle + 1, high)
    return low


def more_launches(
    launches: Sequence[Sequence[float]], margin: float, power: float = POWER, confidence: float = CONFIDENCE_TIME
) -> int | None:
    """How many more launches of this spread would bring the interval clear of the margin's edges, in so many of ten.

    None where that would be more than anybody measures, because the ratio lies at the margin itself.
    """
    found = Launches.of(launches)
    medians, room, apart = found.medians, abs(abs(found.value) - margin), math.sqrt(found.between)
    within = abs(found.value) < margin  # then both of its ends must lie so
    sure = statistics.NormalDist().inv_cdf((1 + power) / 2 if within else power)
    for total in range(max(MANY_LAUNCHES, len(medians) + 1), _MOST_LAUNCHES + 1):
        if (t_quantile(total - 1, confidence) + sure) * apart / math.sqrt(total) < room:
            return total - len(medians)
    return None
