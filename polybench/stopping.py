"""How much more of what would decide a comparison. No clock, no file, no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from polybench.stats import CONFIDENCE_SEED, CONFIDENCE_TIME, MANY_LAUNCHES, t_quantile

POWER = 0.8  # with which what is advised is to find what is so
_MOST_LAUNCHES = 1000  # more than this nobody measures


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


def more_launches(launches: Sequence[Sequence[float]], margin: float, power: float = POWER) -> int | None:
    """How many more launches of this spread would bring the interval clear of the margin's edges, in so many of ten.

    None where that would be more than anybody measures, because the ratio lies at the margin itself.
    """
    medians = [statistics.median(v) for v in launches if v]
    room, apart = abs(abs(statistics.fmean(medians)) - margin), statistics.stdev(medians)
    within = abs(statistics.fmean(medians)) < margin  # then both of its ends must lie so
    sure = statistics.NormalDist().inv_cdf((1 + power) / 2 if within else power)
    for total in range(max(MANY_LAUNCHES, len(medians) + 1), _MOST_LAUNCHES + 1):
        if (t_quantile(total - 1, CONFIDENCE_TIME) + sure) * apart / math.sqrt(total) < room:
            return total - len(medians)
    return None
