"""Did a ratio move while it was measured: launches follow one another in time, and their ratios may do so too.

An interval over launches is that of their mean in this session. Where neighbouring launches are alike, the mean of
another hour may lie outside of it, and the second copy of the reference, which moves with the first, does not show it
(results/notes/launches.md). No clock, no file, no torch.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise

from polybench.medians import Launches

LEAST = 15  # launches; of fewer, likeness is not known
FAR = 3.5  # standard errors of a correlation of none, 1 / sqrt(n): of independent launches 2 in 10,000 go so far


@dataclass(frozen=True)
class Moved:
    """Mean log-ratios of the first and of the last third of the launches, and how alike neighbours are."""

    first: float
    last: float
    correlation: float


def moved(launches: Launches) -> Moved | None:
    """Where the medians of neighbouring launches, in the order of time, are correlated beyond chance."""
    if sum(map(bool, launches)) < LEAST:
        return None
    medians, mean = launches.medians, launches.value
    off = [m - mean for m in medians]
    whole = math.fsum(o * o for o in off)
    correlation = math.fsum(a * b for a, b in pairwise(off)) / whole if whole else 0.0
    if correlation * math.sqrt(len(medians)) <= FAR:
        return None
    third = len(medians) // 3
    return Moved(statistics.fmean(medians[:third]), statistics.fmean(medians[-third:]), correlation)
