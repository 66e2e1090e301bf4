"""How many launches a comparison of times takes: a pilot, then on until it is settled. No clock, no file, no torch.

Looking at data again and again finds something by chance in the end. So it is looked at seldom, each time that there
are half as many launches more, and what ends early needs `CONFIDENCE_EARLY`, after which the last look has about all
of its own confidence left (Haybittle 1971; Peto et al. 1976).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from polybench.stats import Estimate, of_launches

Key = TypeVar("Key")
Launches = Sequence[Sequence[float]]  # log-ratios to the reference block by block, a list a launch

PILOT, MOST, BLOCKS = 5, 60, 10  # launches at first and at most, and rounds in each, if a suite says nothing else
CONFIDENCE_EARLY = 0.998  # of an interval that ends a comparison before its last launch
FINE = 3.0  # an interval whose half is this part of the margin is narrow enough, wherever it lies


@dataclass(frozen=True)
class Rules:
    """When to go on. `pilot` launches are made first, at most `most` in all.

    `margin` is the least ratio that matters, less one. A comparison whose verdict stands goes on all the same until
    half of its interval is at most `half_width` (a ratio less one), if that is given. After `budget_s` seconds of
    launches of one place no other is begun.
    """

    pilot: int
    most: int
    margin: float
    half_width: float | None = None
    budget_s: float = math.inf

    def looks(self) -> list[int]:
        """Numbers of launches after which it is asked who is settled, ascending; the last is `most`."""
        found = [min(self.pilot, self.most)]
        while found[-1] < self.most:
            found.append(min(self.most, max(found[-1] + 1, found[-1] * 3 // 2)))
        return found


def margin_beside(least: float, offset: float) -> float:
    """The margin of log-ratios where equal code was off by `offset`: what that could explain is no difference."""
    return max(least, 2 * abs(offset))


def settled(launches: Launches, control: Launches, rules: Rules) -> bool:
    """Whether further launches of one comparison are of no use; `control` is the reference's second copy.

    They are not when the verdict stands (beyond the margin that equal code raised, or within the one that was asked
    for) and the interval is as narrow as wanted; when it is so narrow that the ratio lies at the margin itself; and
    when equal code differs by more than the margin, for then there is no verdict. One launch settles nothing, since
    it does not say how launches differ.
    """
    now, early = of_launches(launches), of_launches(launches, CONFIDENCE_EARLY)
    if sum(map(bool, launches)) < 2 or not now.known:
        return False
    least = math.log1p(rules.margin)
    if now.half_width <= least / FINE:
        return True
    equal = of_launches(control, CONFIDENCE_EARLY) if any(control) else None
    if equal and beyond(equal, least):
        return True
    limit = margin_beside(least, equal.value) if equal else least
    stands = beyond(early, limit) or (early.high < least and early.low > -least)
    return stands and (rules.half_width is None or now.half_width <= math.log1p(rules.half_width))


def beyond(interval: Estimate, margin: float) -> bool:
    """Whether it lies wholly on one side of the margin."""
    return interval.low > margin or interval.high < -margin


def going_on(arms: Mapping[Key, Launches], control: Launches, rules: Rules) -> set[Key]:
    """Who needs further launches, asked at one of the `looks` with what has been measured until then."""
    return {key for key, launches in arms.items() if not settled(launches, control, rules)}


def used(arms: Mapping[Key, Launches], control: Launches, rules: Rules) -> dict[Key, int]:
    """How many of the recorded launches each would have taken: the whole procedure, replayed.

    Every arm and the control hold the same launches in the same order.
    """
    there = min(rules.most, len(control))
    taken, left = dict.fromkeys(arms, there), set(arms)
    for look in rules.looks():
        if look >= there:
            break
        ended = left - going_on({key: arms[key][:look] for key in left}, control[:look], rules)
        taken |= dict.fromkeys(ended, look)
        left -= ended
    return taken
