"""What changed from session to session, in one metric of one cell: each kind of metric by a rule of its own.

Counts: any difference. What varies with the seed: the difference paired by seed, corrected by Holm for all that is
asked. Ratios of times: beyond the margin and beyond what earlier sessions of the same machine spread, in two sessions
one after the other, since what does not recur is the hour's and not the code's.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from polybench.compare.kept_session import Told
from polybench.stats import CONFIDENCE_TIME, Estimate, paired, t_quantile, t_test

LEAST = 5  # sessions before one that is judged: fewer say too little of how sessions spread
Seen = Sequence[tuple[int, Told]]  # the number of a session, and what it says


@dataclass(frozen=True)
class Step:
    """A value that changed, or may have: from session `before` to `session`.

    `change` is the ratio, or the difference of what is paired by seed; `p` that of no change, before correction.
    `confirmed` is False where the last session alone shows it.
    """

    before: int
    session: int
    old: Estimate
    new: Estimate
    change: Estimate
    p: float = 0.0
    confirmed: bool = True


def of_counts(seen: Seen) -> Iterator[Step]:
    """Every difference of an exact value."""
    for (i, was), (j, now) in pairwise(seen):
        a, b = was.shown.value, now.shown.value
        if a != b:
            ratio = b / a if a else math.inf
            yield Step(i, j, was.shown, now.shown, Estimate(ratio, ratio, ratio, 1))


def of_seeds(seen: Seen) -> Iterator[Step]:
    """Every pair of sessions that share two seeds on one text, with its p; means are over what they share."""
    for (i, was), (j, now) in pairwise(seen):
        both = [(was.seeds[key], now.seeds[key]) for key in was.seeds if key in now.seeds]
        shared = [new - old for old, new in both]
        if len(shared) > 1 and all(map(math.isfinite, shared)):
            old, new = (paired(list(values)) for values in zip(*both, strict=True))
            yield Step(i, j, old, new, paired(shared), t_test(shared))


def judged(seen: Seen) -> int:
    """Of how many sessions the ratio of a time can be asked."""
    return max(0, len(seen) - LEAST)


def of_times(seen: Seen, margin: float, level: float) -> Iterator[Step]:
    """Ratios that left the range of the sessions before, at this level of error; those count that came since the last.

    A session that stands alone is none, unless it is the last one, which nothing has confirmed yet.
    """
    start = 0
    for k in range(len(seen)):
        before = [math.log(told.shown.value) for _, told in seen[start:k]]
        if len(before) < LEAST or not (side := _side(before, seen[k][1].shown, margin, level)):
            continue
        last = k + 1 == len(seen)
        if not last and _side(before, seen[k + 1][1].shown, margin, level) != side:
            continue
        new = seen[k][1].shown
        old = paired(before, CONFIDENCE_TIME)
        shift = math.log(new.value) - old.value
        reach = t_quantile(len(before) - 1, CONFIDENCE_TIME) * _spread(before)
        change = Estimate(shift, shift - reach, shift + reach, len(before)).map(math.exp)
        yield Step(seen[k - 1][0], seen[k][0], old.map(math.exp), new, change, level, not last)
        start = k


def _side(before: Sequence[float], shown: Estimate, margin: float, level: float) -> int:
    """1 above what the earlier log-ratios foretell, -1 below, 0 within; the nearer end of the interval decides."""
    if not (shown.known and shown.low > 0):
        return 0
    centre = statistics.fmean(before)
    above, below = math.log(shown.low) - centre, centre - math.log(shown.high)
    reach = math.log1p(margin) + t_quantile(len(before) - 1, 1 - level) * _spread(before)
    return (above > reach) - (below > reach)


def _spread(before: Sequence[float]) -> float:
    """Standard error of what one more session would show."""
    return statistics.stdev(before) * math.sqrt(1 + 1 / len(before))
