"""Is a comparison decided, and how much more of what would decide it. No clock, no file, no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from polybench.looks import share
from polybench.stats import (
    ALPHA,
    CONFIDENCE_SEED,
    CONFIDENCE_TIME,
    LEAST_BLOCKS,
    MANY_LAUNCHES,
    MOST_EXCESS,
    STANDS_OUT,
    Estimate,
    of_launches,
    t_power,
    t_quantile,
    variance_of_median,
)

POWER = 0.8  # of what is advised
MOST_SEEDS, _MOST_LAUNCHES, _MOST_FOLD = 1000, 60, 1000.0  # more than this nobody measures
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
    n = len(differences)
    if n < 2:
        return None
    mean, spread = abs(statistics.fmean(differences)), statistics.stdev(differences)
    error = ALPHA / tests * share(look)

    def apart(total: int) -> float:
        return t_power(total - 1, _errors(mean, spread, total), 1 - error)

    def within(total: int) -> float:
        confidence = max(CONFIDENCE_SEED, 1 - 2 * error)  # of a one-sided test
        near, far = (t_power(total - 1, _errors(margin + m, spread, total), confidence) for m in (-mean, mean))
        return near + far - 1

    found = (_least(apart, n + 1) if mean else None, _least(within, n + 1) if mean < margin else None)
    ways = [MoreSeeds(total - n, same) for same, total in zip((False, True), found, strict=True) if total]
    return min(ways, key=lambda way: way.count, default=None)


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


def decided(change: Estimate, margin: float) -> bool:
    """Whether measuring on would change little: beyond the margin, within it, or narrower than a third of it."""
    inside = -margin < change.low and change.high < margin
    return change.low > margin or change.high < -margin or inside or change.half_width < margin / 3


@dataclass(frozen=True)
class More:
    """How much more of what would settle a comparison."""

    count: int
    what: Literal["blocks", "launches"]


def more_to_settle(launches: Sequence[Sequence[float]], margin: float, excess: float | None = None) -> More | None:
    """How many more blocks a launch, or launches, would bring the interval clear of the margin's edges.

    The interval shrinks with the root of the blocks while blocks explain how launches differ; where
    launches differ by more than their blocks do, only more launches help. None where that would be
    over a thousand-fold, because the ratio lies at the margin itself, or with too few blocks to tell.
    """
    now = of_launches(launches, excess=excess)
    room = abs(abs(now.value) - margin)
    blocks = min(len(v) for v in launches if v)
    if not now.known:
        return More(LEAST_BLOCKS - blocks, "blocks") if blocks < LEAST_BLOCKS else None
    if room == 0:
        return None
    medians = [statistics.median(v) for v in launches if v]
    apart = statistics.stdev(medians) if len(medians) > 1 else 0.0
    within = statistics.fmean(variance_of_median(v) for v in launches if v)
    own = apart**2 / within if within else math.inf if apart else 0.0
    if own > (1.0 if excess is None else STANDS_OUT) or (excess and excess > MOST_EXCESS):
        for total in range(max(MANY_LAUNCHES, len(medians) + 1), _MOST_LAUNCHES + 1):
            if t_quantile(total - 1, CONFIDENCE_TIME) * apart / math.sqrt(total) < room:
                return More(total - len(medians), "launches")
        return None
    factor = (now.half_width / room) ** 2
    return More(max(1, math.ceil(blocks * (factor - 1))), "blocks") if factor < _MOST_FOLD else None
