"""What was measured of two activations in one cell, as evidence: a change, p values about it, and how much more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from polybench.compare.region import Region, p_at
from polybench.launches import Launches
from polybench.looks import over_looks
from polybench.metric import Metric
from polybench.stats import (
    ALPHA,
    CONFIDENCE_SEED,
    CONFIDENCE_TIME,
    MANY_LAUNCHES,
    Estimate,
    of_launches,
    paired,
    t_test,
)
from polybench.stopping import MOST_SEEDS, more_apart, more_launches, more_within


@dataclass(frozen=True)
class More:
    """What would settle a question, in words, and as a count of seeds or launches where there is one."""

    words: str
    seeds: int | None = None
    launches: int | None = None


class Evidence(Protocol):
    """A change of the first activation's values against the other's: a difference, or a log-ratio."""

    @property
    def change(self) -> Estimate:
        """With its interval, of `confidence`."""

    @property
    def confidence(self) -> float | None:
        """None of what is exact."""

    def holds(self, region: Region) -> bool | None:
        """Whether the change lies in the region, as far as the interval says: None where that holds an edge."""

    def p(self, region: Region) -> float | None:
        """Of the verdict that the change points to, before correction; None of what is exact."""

    def more(self, region: Region, tests: int) -> More | None:
        """What would settle it, at the strictest step of Holm over so many tests."""


@dataclass(frozen=True)
class Exact:
    """Two counts: there is nothing to estimate."""

    value: float
    confidence: None = None

    @property
    def change(self) -> Estimate:
        return Estimate(self.value, self.value, self.value, 1)

    def holds(self, region: Region) -> bool | None:
        return region.holds_exactly(self.value)

    def p(self, region: Region) -> float | None:
        return None

    def more(self, region: Region, tests: int) -> More | None:
        return None


def exact(metric: Metric, value: float, reference: float) -> Exact:
    """Of two counts; beside one of 0 a ratio is infinite, unless both are."""
    if metric.effect == "difference":
        return Exact(value - reference)
    if value > 0 and reference > 0:
        return Exact(math.log(value) - math.log(reference))
    return Exact(math.copysign(math.inf, value - reference) if value != reference else 0.0)


@dataclass(frozen=True)
class OfSeeds:
    """Differences or log-ratios, paired by seed; every look at them counts."""

    differences: Mapping[int, float]
    look: int
    confidence: float = CONFIDENCE_SEED

    @property
    def change(self) -> Estimate:
        return paired(self._values)

    @property
    def _values(self) -> list[float]:
        return list(self.differences.values())

    @property
    def _equal(self) -> bool:
        """Whether both gave the very same numbers, with more than one seed: then there is nothing to estimate."""
        return len(self.differences) > 1 and not any(self._values)

    def holds(self, region: Region) -> bool | None:
        return region.holds_exactly(0.0) if self._equal else region.holds(self.change)

    def p(self, region: Region) -> float | None:
        if self._equal:
            return None
        return region.p(self.change.value, lambda edge: over_looks(t_test(self._beside(edge)), self.look))

    def more(self, region: Region, tests: int) -> More | None:
        if len(self._values) < 2:
            return More("2 more seeds at least", seeds=2)
        mean = self.change.value
        if region.sense == "same" and abs(mean) <= region.margin:
            found = more_within(self._values, region.margin, tests, self.look + 1)
        else:
            found = more_apart(self._beside(region.nearest(mean)), tests, self.look + 1)
        if not found:
            return More(f"over {MOST_SEEDS} more seeds")
        return More(f"about {found.count} more seed{'s' * (found.count > 1)}", seeds=found.count)

    def _beside(self, edge: float) -> list[float]:
        return [value - edge for value in self._values]


@dataclass(frozen=True)
class OfLaunches:
    """Log-ratios of blocks, a list a launch; `excess` as `of_launches` takes it, `seconds` are those of a launch."""

    launches: Launches
    excess: float | None
    seconds: float
    confidence: float = CONFIDENCE_TIME

    @property
    def change(self) -> Estimate:
        return of_launches(self.launches, self.confidence, self.excess)

    @property
    def _several(self) -> bool:
        return sum(map(bool, self.launches)) > 1

    def holds(self, region: Region) -> bool | None:
        """None of a single launch, which does not say how launches differ."""
        return region.holds(self.change) if self._several else None

    def p(self, region: Region) -> float | None:
        if not self._several:
            return 1.0
        return region.p(
            self.change.value, lambda edge: p_at(lambda sure: of_launches(self.launches, sure, self.excess), edge)
        )

    def more(self, region: Region, tests: int) -> More | None:
        if not self._several:
            return More("more launches, since one does not say how launches differ", launches=MANY_LAUNCHES - 1)
        mean, sure = self.change.value, max(CONFIDENCE_TIME, 1 - ALPHA / tests)
        if region.hides(mean):
            below = f"what is below {math.expm1(region.raised):.1%}"
            return More(f"more launches or a quieter machine, since the A/A copy hides {below}")
        if region.sense == "same" and abs(mean) <= region.margin:
            found = more_launches(self.launches, region.margin, confidence=sure)
        else:
            edge = region.nearest(mean)
            found = more_launches([[v - edge for v in launch] for launch in self.launches], 0.0, confidence=sure)
        if not found:
            return More("no number of launches worth measuring, since the ratio lies at the margin")
        took = round(found * self.seconds) or 1
        return More(f"about {found} more launch{'es' * (found > 1)}, {took} s", launches=found)
