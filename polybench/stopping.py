"""Is a comparison decided, and how much more of what would decide it. No clock, no file, no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from polybench.stats import (
    CONFIDENCE_SEED,
    CONFIDENCE_TIME,
    LEAST_BLOCKS,
    MANY_LAUNCHES,
    MOST_EXCESS,
    STANDS_OUT,
    Estimate,
    of_launches,
    t_quantile,
    variance_of_median,
)

_MOST_LAUNCHES, _MOST_FOLD = 60, 1000.0  # more than this nobody measures


def more_seeds(differences: Sequence[float], confidence: float = CONFIDENCE_SEED, most: int = 1000) -> int | None:
    """How many more pairs of this mean and spread would make the interval exclude zero; None beyond `most`."""
    n = len(differences)
    if n < 2 or statistics.fmean(differences) == 0:
        return None
    mean, spread = abs(statistics.fmean(differences)), statistics.stdev(differences)
    for total in range(n + 1, most + 1):
        if t_quantile(total - 1, confidence) * spread / math.sqrt(total) < mean:
            return total - n
    return None


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
