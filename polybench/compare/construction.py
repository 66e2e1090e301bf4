"""How the size of a built network grows as its error falls: slopes over a family of constructions."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Group, Point
from polybench.compare.scaling import line
from polybench.measure.approximation_axes import CONSTRUCTED
from polybench.measure.kinds.approximation import BUILT_ERROR, UNITS
from polybench.metric import Metric
from polybench.stats import Estimate

KIND = "approximation"
LEAST_ERRORS = 3  # of a line that is to have an interval


@dataclass(frozen=True)
class Family:
    """One activation's constructions of one function, from the largest error that was asked for to the smallest."""

    activation: str
    members: tuple[Point, ...]

    @cached_property
    def bits(self) -> list[int]:
        """log2(1 / error that was asked for)."""
        return [int(p.cell.axis("bits")) for p in self.members]

    def values(self, metric: Metric) -> list[float]:
        """Of each network."""
        return [max(p.values(metric.name)) for p in self.members]

    @property
    def worst(self) -> float:
        """The largest error over that which was asked for; above 1 a construction does not hold what it promises."""
        return max(e * 2.0**bits for e, bits in zip(self.values(BUILT_ERROR), self.bits, strict=True))

    def growth(self, metric: Metric) -> Estimate:
        """By how much it grows as the error falls e-fold, a line through all networks."""
        return _an_e_fold(self.bits, self.values(metric))

    def order(self, last: int = 0) -> Estimate | None:
        """Slope of ln units over ln error as it was found; of the `last` networks, or all. None where those are one
        network, as two errors may be served by, or one is exact."""
        error, units = self.values(BUILT_ERROR)[-last:], self.values(UNITS)[-last:]
        if min(error) <= 0 or len(set(error)) == 1:
            return None
        return line([math.log(e) for e in error], [math.log(u) for u in units])


def experiment(comparisons: Comparisons, name: str) -> list[Point]:
    """The points of one experiment, in the order of the suite."""
    return [p for p in comparisons.points() if p.cell.kind == KIND and p.cell.axis("experiment") == name]


def families(comparisons: Comparisons) -> dict[Group, list[Family]]:
    """By function, those that were built for three errors or more."""
    found: dict[Group, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for point in (p for name in CONSTRUCTED for p in experiment(comparisons, name)):
        if point.values(BUILT_ERROR.name):
            found[point.benchmark, point.cell.place.without("bits")][point.cell.activation].append(point)
    built = {group: [_family(name, ps) for name, ps in of.items()] for group, of in found.items()}
    long = {group: [f for f in of if len(f.members) >= LEAST_ERRORS] for group, of in built.items()}
    return {group: kept for group, kept in long.items() if kept}


def _family(activation: str, members: Sequence[Point]) -> Family:
    return Family(activation, tuple(sorted(members, key=lambda p: int(p.cell.axis("bits")))))


def growth_of_ratio(family: Family, base: Family) -> Estimate | None:
    """Growth of its units over another's at the same error; None of itself or where they were built for others."""
    if family is base or family.bits != base.bits:
        return None
    return _an_e_fold(family.bits, [a / b for a, b in zip(family.values(UNITS), base.values(UNITS), strict=True)])


def _an_e_fold(bits: Sequence[float], values: Sequence[float]) -> Estimate:
    """Slope over bits, whose whole numbers leave an exact line exact, as one over natural logarithms."""
    return line(bits, values).map(lambda slope: slope / math.log(2))
