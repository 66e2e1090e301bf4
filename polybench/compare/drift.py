"""How far times of equal code lie apart from session to session.

Within a session the same code repeats to a per cent or less, between sessions it moves by several, so a stored time
is never judged by one session's own interval (results/notes/gate-power.md).
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from polybench.compare.sessions import Key, Session, Timed
from polybench.medians import variance
from polybench.stats import Estimate, t_quantile
from polybench.stopping import POWER

LEAST_SESSIONS = 20  # from which on a time may fail a build


@dataclass(frozen=True)
class Drift:
    """One time of one cell over sessions of equal code: the level of each, and the standard deviation between them.

    That is its own or that of all activations of its place, whichever is larger. `within` is the variance of a level
    as launches explain it, and `launches` how many of them a session has, both 0 where that is not known.
    """

    levels: tuple[float, ...]
    sd: float
    within: float = 0.0
    launches: float = 0.0

    @property
    def degrees(self) -> int:
        """Of freedom of `sd`: as if all cells of a place moved together, so that pooling adds none."""
        return len(self.levels) - 1

    def error(self, launches: float) -> float:
        """Standard error of the change from the mean of these sessions to another one of so many launches."""
        fewer = max(0.0, self.launches / launches - 1) if launches else 0.0
        return math.sqrt(self.sd**2 * (1 + 1 / len(self.levels)) + self.within * fewer)

    def change(self, new: Timed, confidence: float) -> Estimate:
        """Log of the new session over the mean of these, with its t interval; infinite with a single session."""
        value, count = new.level - statistics.fmean(self.levels), len(self.levels)
        if count < 2:
            return Estimate(value, -math.inf, math.inf, count)
        half = t_quantile(self.degrees, confidence) * self.error(len(new.logs))
        return Estimate(value, value - half, value + half, count)

    def limit(self, least: float, launches: float, alpha: float) -> float:
        """The log-ratio beyond which it is a change: `least`, or what equal code exceeds with this probability."""
        return max(least, t_quantile(self.degrees, 1 - 2 * alpha) * self.error(launches))

    def detectable(self, least: float, launches: float, alpha: float) -> float:
        """The least log-ratio that lies beyond the limit in `POWER` of sessions."""
        return self.limit(least, launches, alpha) + t_quantile(self.degrees, 2 * POWER - 1) * self.error(launches)

    def chance(self, log: float, launches: float) -> float:
        """How often equal code rises by so much or more: a one-sided p."""
        error = self.error(launches)
        if not error:
            return 0.0 if log > 0 else 1.0
        from scipy.special import stdtr

        return float(stdtr(self.degrees, -log / error))


def drifts(sessions: Iterable[Session]) -> dict[Key, Drift]:
    """How far sessions lie apart, cell by cell, pooled over the activations of a place."""
    found: dict[Key, list[Timed]] = defaultdict(list)
    for session in sessions:
        for key, one in session.times.items():
            found[key].append(one)
    levels = {key: tuple(one.level for one in times) for key, times in found.items()}
    own = {key: variance(several) for key, several in levels.items() if len(several) > 1}
    squares, degrees = defaultdict[Key, float](float), defaultdict[Key, int](int)
    for key, each in own.items():
        degrees[_place(key)] += len(levels[key]) - 1
        squares[_place(key)] += each * (len(levels[key]) - 1)
    pooled = {place: squares[place] / degrees[place] for place in degrees}
    return {
        key: _drift(times, levels[key], max(own.get(key, 0.0), pooled.get(_place(key), 0.0)))
        for key, times in found.items()
    }


def _place(key: Key) -> Key:
    benchmark, cell, metric = key
    return benchmark, cell.place, metric


def _drift(times: Sequence[Timed], levels: tuple[float, ...], between: float) -> Drift:
    inside = [one.variance for one in times if math.isfinite(one.variance)]
    return Drift(
        levels,
        math.sqrt(between),
        statistics.fmean(inside) if inside else 0.0,
        statistics.median(len(one.logs) for one in times),
    )
