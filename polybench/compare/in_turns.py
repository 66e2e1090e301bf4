"""Times of base, head and control that were measured in turns: whether the head got worse by more than a rule allows.

Pure functions of log-ratios. A launch is a list of them, block by block, and a positive one is worse; launches are the
unit. The head is held against the base, and so is the control, which is the base once more: what that shows, layout
and build can do. Only worse fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

from polybench.compare.decision import Decision
from polybench.corrections import resolves
from polybench.launches import CONFIDENCE_EARLY, FINE, Launches, beyond, margin_beside
from polybench.record import Record, Status
from polybench.stats import Estimate, of_launches, p_beyond

LEAST = 2  # launches of a verdict: one does not say how launches differ


@dataclass(frozen=True)
class Turns:
    """The launches of one time in one cell, and the logarithm that it may get worse by.

    `sign` is -1 where less is worse, as of tokens a second.
    """

    head: Launches
    control: Launches
    limit: float
    sign: int = 1

    def shown(self, change: Estimate) -> str:
        """A log-ratio as people read it, head over base."""
        ratio = self.ratio(change)
        return f"{ratio.value:.4g} [{ratio.low:.4g}, {ratio.high:.4g}]"

    def ratio(self, change: Estimate) -> Estimate:
        """Head over base."""
        if self.sign < 0:
            change = Estimate(-change.value, -change.high, -change.low, change.n)
        return change.map(math.exp)


def limit(tolerance: float, floor: float, seconds: float | None) -> float:
    """The log-ratio that is allowed: the tolerance, or what `floor` seconds are of the base's where that is more."""
    return math.log1p(max(tolerance, floor / seconds if floor and seconds else 0.0))


def ratios(mine: Record, theirs: Record, metric: str, dropped: str) -> list[float]:
    """Log-ratios of the blocks that both have had in turns; none where one failed or lost blocks on the way (`dropped`
    is the fact that says so), since which of them belong together is not known then."""
    a, b = mine.get(metric), theirs.get(metric)
    sound = mine.status is theirs.status is Status.OK and mine.started_at == theirs.started_at
    if not (a and b and sound) or dropped in mine.facts or dropped in theirs.facts:
        return []
    pairs = list(zip(a.values, b.values, strict=False))  # one may have run out of time a block before the other
    return [math.log(x / y) for x, y in pairs] if min((min(p) for p in pairs), default=0.0) > 0 else []


def settled(turns: Turns, tests: int) -> bool:
    """Whether further launches of this one among so many `tests` are of no use.

    They are not when it passes or fails by an early interval, the failure so clearly that it survives the correction;
    when its interval is so narrow that the ratio lies at the limit itself; and when equal code differs by more than
    the limit, for then there is no verdict.
    """
    if sum(map(bool, turns.head)) < LEAST or not any(turns.control):
        return False
    now, early = of_launches(turns.head), of_launches(turns.head, CONFIDENCE_EARLY)
    if not now.known:
        return False
    equal = of_launches(turns.control, CONFIDENCE_EARLY)
    if beyond(equal, turns.limit):
        return True
    raised = margin_beside(turns.limit, equal.value)
    if early.high < turns.limit:
        return True
    if now.low > raised:
        return early.low > raised and resolves(tests * _p(turns, raised))
    return now.half_width <= turns.limit / FINE


def decided(turns: Turns) -> Decision:
    """The verdict on one cell, before correction for all others: its change is a log-ratio, of which more is worse."""
    if not any(turns.head):
        return Decision("inconclusive", "no launch measured it beside the base")
    if sum(map(bool, turns.head)) < LEAST:
        return Decision("inconclusive", "one launch does not say how launches differ")
    change = of_launches(turns.head)
    if not change.known:
        return Decision("inconclusive", "too few blocks for an interval")
    if not any(turns.control):
        return Decision("inconclusive", "the base was not measured a second time beside them")
    equal = of_launches(turns.control)
    text = f"{turns.shown(change)} times the base, in {sum(map(bool, turns.head))} launches"
    if beyond(equal, turns.limit):
        return Decision("inconclusive", f"unstable: the base once more was {turns.shown(equal)} times itself", change)
    raised = margin_beside(turns.limit, equal.value)
    p = _p(turns, raised)
    if change.low > raised:
        return Decision("fail", text, change, p)
    if change.high > turns.limit:
        return Decision("inconclusive", f"{text}: the interval holds the limit", change, p)
    return Decision("improved" if change.high < -raised < 0 else "pass", "", change, p)


def _p(turns: Turns, raised: float) -> float:
    """One-sided: half of the two-sided level at which the interval ends at the limit."""
    if of_launches(turns.head).value <= raised:
        return 1.0
    return p_beyond(partial(of_launches, turns.head), raised) / 2
