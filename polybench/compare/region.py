"""Where an interval lies beside a limit: what everything that judges asks, be it a claim or the gate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from polybench.stats import Estimate, p_beyond

Sense = Literal["less", "more", "same"]
Side = Literal["beyond", "within", "across"]
_EQUAL = 1e-12  # what rounding a share, or its logarithm, makes of equal numbers


def side(low: float, high: float, limit: float, raised: float) -> Side:
    """Beyond a limit, within it, or neither.

    `raised` is the limit for being beyond it where noise has raised it: noise hides, it shows nothing.
    """
    if low > raised:
        return "beyond"
    return "within" if high <= limit else "across"


@dataclass(frozen=True)
class Region:
    """Where a change (a difference, or a log-ratio) lies if something is less, more, or the same, by a margin."""

    sense: Sense
    margin: float
    raised: float

    def _signed(self, change: float) -> float:
        """So that more of it is further towards, and of *same* further from, what is claimed."""
        return {"less": -change, "more": change, "same": abs(change)}[self.sense]

    def hides(self, change: float) -> bool:
        """Whether it lies beyond the margin, but not beyond what noise has raised it to."""
        return self.margin < self._signed(change) <= self.raised

    def nearest(self, change: float) -> float:
        """The edge that a change must be told from."""
        edge = self.margin if self._signed(change) <= self.margin else self.raised
        return {"less": -edge, "more": edge, "same": math.copysign(edge, change)}[self.sense]

    def holds(self, change: Estimate) -> bool | None:
        """Whether it holds all of an interval: True, none of it: False, or some of it: None."""
        above = side(change.low, change.high, self.margin, self.raised)
        below = side(-change.high, -change.low, self.margin, self.raised)
        if self.sense == "same":
            return False if "beyond" in (above, below) else True if above == below == "within" else None
        return {"beyond": True, "within": False, "across": None}[above if self.sense == "more" else below]

    def holds_exactly(self, change: float) -> bool:
        """The same of a number without an interval, which reaches the margin where it is equal to it."""
        at_edge = math.isclose(abs(change), self.margin, rel_tol=_EQUAL)
        if self.sense == "same":
            return abs(change) <= self.margin or at_edge
        right = change > 0 if self.sense == "more" else change < 0
        return right and (abs(change) > self.margin or at_edge)

    def p(self, change: float, at: Callable[[float], float]) -> float:
        """Of the verdict that the change points to, by `at(edge)`, two-sided, that it lies at an edge.

        That something is the same says that it is within both edges; as only one of them can be what is so, both are
        tested on one side (Schuirmann 1987, doi:10.1007/BF01068419).
        """
        if self.hides(change):
            return 1.0
        if self.sense == "same" and abs(change) <= self.margin:
            return max(at(-self.margin), at(self.margin)) / 2
        return at(self.nearest(change))


def p_at(interval: Callable[[float], Estimate], edge: float) -> float:
    """Two-sided p that a change lies at `edge`, by its `interval(confidence)`."""

    def moved(confidence: float) -> Estimate:
        return interval(confidence).map(lambda x: x - edge)

    return p_beyond(moved, 0.0)
