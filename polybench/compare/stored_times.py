"""One time of a run beside the sessions of a baseline: worse by more than equal code is from session to session?

The margin is max(tolerance, k sqrt(1 + 1/B) sigma): sigma is the standard deviation between the B sessions, k the
one-sided t quantile at which equal code fails a whole gate in at most 5 % of runs, however many cells it tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from polybench.compare.comparison import exp
from polybench.compare.decision import Decision
from polybench.compare.drift import LEAST_SESSIONS, Drift
from polybench.compare.sessions import Timed
from polybench.launches import margin_beside
from polybench.metric import Metric
from polybench.stats import ALPHA, CONFIDENCE_TIME, Estimate

UNGATEABLE = 2.0  # tolerances, beyond which a change that can be found is too large to call a cell held


@dataclass(frozen=True)
class History:
    """What a baseline knows of one time of one cell.

    `typical` is the median of its sessions in the metric's unit, None where none has the cell. `drift` is of those
    that may be compared; where there are none, `why` says so. A time is judged from `least` sessions on.
    """

    typical: float | None = None
    drift: Drift | None = None
    why: str = ""
    least: int = LEAST_SESSIONS

    @property
    def judged(self) -> bool:
        """Whether there are sessions enough, so that it may fail."""
        return self.drift is not None and len(self.drift.levels) >= self.least


@dataclass(frozen=True)
class Bounds:
    """Of one cell under one rule, as ratios less one: what fails, what is found, and whether that is fine enough."""

    margin: float
    detectable: float
    gateable: bool


def bounds(drift: Drift, tolerance: float, launches: float, tests: int, offset: float = 0.0) -> Bounds:
    """Among so many `tests`; `offset` is the log-ratio by which equal code was off within the run."""
    least = margin_beside(math.log1p(tolerance), offset)
    alpha = ALPHA / tests
    found = drift.detectable(least, launches, alpha)
    fine = found <= math.log1p(UNGATEABLE * tolerance)
    return Bounds(exp(drift.limit(least, launches, alpha)) - 1, exp(found) - 1, fine)


def decided(
    history: History, metric: Metric, new: Timed, tolerance: float, tests: int, offset: float = 0.0
) -> Decision:
    """The verdict on one time, corrected already for the `tests` of the whole gate."""
    drift = history.drift
    if drift is None:
        return Decision("not comparable", history.why)
    change = drift.change(new, CONFIDENCE_TIME)
    shown = change.map(exp) if change.known else None
    count = len(drift.levels)
    if not history.judged:
        what = f"{_text(shown)} times the baseline; " if shown else ""
        many = f"{count} session{'s' * (count > 1)} of this machine, and times are judged from {history.least} on"
        return Decision("inconclusive", f"{what}{many}: {history.least - count} missing", shown)
    sign = -1 if metric.better == "higher" else 1
    worse, launches = sign * change.value, len(new.logs)
    found = bounds(drift, tolerance, launches, tests, offset)
    p = drift.chance(worse, launches)
    told = f"{_text(shown)} times the mean of {count} sessions" if shown else f"{count} sessions"
    if worse > math.log1p(found.margin):
        return Decision("fail", f"{told}, beyond the margin of {found.margin:.1%}", shown, p)
    if not found.gateable:
        why = f"only {found.detectable:.0%} or more would be found, over twice the tolerance of {tolerance:.1%}"
        return Decision("ungateable", f"{told}; {why}", shown, p)
    return Decision("improved" if -worse > math.log1p(found.margin) else "pass", "", shown, p)


def _text(ratio: Estimate) -> str:
    return f"{ratio.value:.4g} [{ratio.low:.4g}, {ratio.high:.4g}]"
