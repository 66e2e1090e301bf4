"""What differences of losses, paired by seed, say: an interval, whether it is told from 0, whether it is the same."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from polybench.looks import over_looks
from polybench.stats import ALPHA, Estimate, paired, t_test, t_within
from polybench.stopping import MOST_SEEDS, more_seeds

Looks = Sequence[frozenset[int]]  # the seeds that a benchmark had when it was judged before, one set a look


@dataclass(frozen=True)
class Told:
    """The mean difference with its interval, and both p values, which count the looks and are not corrected yet.

    `p` is that of no difference, `same_p` that of one beyond the margin: 1 where the interval is not within it.
    """

    change: Estimate
    p: float
    same_p: float
    settle: str = ""


def told(differences: Mapping[int, float], looks: Looks, margin: float, tests: int) -> Told:
    """Of a difference a seed, one of so many that are tested together. Raises ValueError without any."""
    values, look = list(differences.values()), look_of(differences, looks)
    change = paired(values)
    if len(values) < 2:
        return Told(change, 1.0, 1.0, "2 more seeds at least")
    within = margin > 0 and -margin <= change.low and change.high <= margin
    p = over_looks(t_test(values), look)
    same_p = over_looks(t_within(values, margin), look) if within else 1.0
    if min(p, same_p) * tests <= ALPHA:  # resolved, whatever is tested beside it
        return Told(change, p, same_p)
    more = more_seeds(values, tests, margin, look + 1)
    return Told(change, p, same_p, str(more) if more else f"over {MOST_SEEDS} more seeds")


def p_over_looks(differences: Mapping[int, float], looks: Looks) -> float:
    """p of the t test that their mean is zero, counting the looks; 1 for a single pair."""
    return over_looks(t_test(list(differences.values())), look_of(differences, looks))


def look_of(seeds: Collection[int], looks: Looks) -> int:
    """Which look at these seeds the present one is; one that could test nothing, or nothing new, spent nothing."""
    before = (sum(seed in look for seed in seeds) for look in looks)
    return 1 + len({n for n in before if 1 < n < len(seeds)})


def finite(differences: Mapping[int, float]) -> bool:
    return all(map(math.isfinite, differences.values()))
