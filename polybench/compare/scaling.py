"""Loss against model size: how fast each activation's loss falls, and whether its advantage stays."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, linear_regression

from polybench.compare.grid import seed_differences
from polybench.compare.points import PARAMETERS, Group, Point, of_seeds
from polybench.measure.kinds.pretrain import VAL_LOSS
from polybench.measure.training_metrics import SIZE_AXES
from polybench.stats import CONFIDENCE_SEED, Estimate, t_quantile
from polybench.trial import Cell

LOSS = VAL_LOSS.name
LEAST_SIZES = 3
_ALONG = ("steps", "batch", "accumulate", "lr")  # which may grow with the model

Family = Group  # whose cell is without its size too


@dataclass(frozen=True)
class Ladder:
    """One activation's points of a family, from the smallest model to the largest.

    At those that are `broken` no loss is left, though another activation has one there.
    """

    activation: str
    rungs: tuple[Point, ...]
    broken: tuple[Point, ...] = ()

    @property
    def lost(self) -> str:
        """What was lost at any of its sizes; empty where nothing was."""
        return next(filter(None, map(lost_at, (*self.rungs, *self.broken))), "")

    @property
    def sizes(self) -> list[float]:
        """Parameters of each."""
        return [max(of_seeds(p, PARAMETERS)) for p in self.rungs]


def ladders(points: Iterable[Point], reference: str) -> dict[Family, list[Ladder]]:
    """Families that hold at least three sizes, lost ones too, of the reference and of another activation."""
    families: dict[Family, list[Point]] = defaultdict(list)
    every = list(points)
    for point in every:
        if of_seeds(point, LOSS) and of_seeds(point, PARAMETERS):
            families[point.benchmark, _without(point.cell, (*SIZE_AXES, *_ALONG))].append(point)
    whole: dict[Family, list[Ladder]] = {}
    for family, members in families.items():
        if _one_each(members):
            whole[family] = _ladders(members)
        else:  # the same size was trained in several ways: each way is a family
            for point in members:
                apart = family[0], _without(point.cell, SIZE_AXES)
                if apart not in whole:
                    same = [p for p in members if _without(p.cell, SIZE_AXES) == apart[1]]
                    whole[apart] = _ladders(same) if _one_each(same) else []
    rest = [point for point in every if not of_seeds(point, LOSS)]
    whole = {family: list(_with_broken(family, steps, rest)) for family, steps in whole.items()}
    tall = {f: [x for x in steps if len(x.rungs) + len(x.broken) >= LEAST_SIZES] for f, steps in whole.items()}
    return {f: kept for f, kept in tall.items() if len(kept) > 1 and any(x.activation == reference for x in kept)}


def _ladders(members: Sequence[Point]) -> list[Ladder]:
    of: dict[str, list[Point]] = defaultdict(list)
    for point in members:
        of[point.cell.activation].append(point)
    return [Ladder(name, tuple(sorted(ps, key=lambda p: max(of_seeds(p, PARAMETERS))))) for name, ps in of.items()]


def _with_broken(family: Family, steps: Sequence[Ladder], rest: Sequence[Point]) -> Iterator[Ladder]:
    """Each with the points that have no loss where another one has; an activation without any loss is left out."""
    places = {p.cell.place for x in steps for p in x.rungs}
    for x in steps:
        here = (p for p in rest if p.benchmark == family[0] and p.cell.place in places)
        yield replace(x, broken=tuple(p for p in here if p.cell.activation == x.activation))


def lost_at(point: Point) -> str:
    """`3 of 8 diverged`, else `1 of 8 not finite` where a training ended with such a loss, or that there is none."""
    endless = sum(not math.isfinite(value) for value in point.values(LOSS))
    if point.diverged or endless:
        return point.diverged or f"{endless} of {len(point.records)} not finite"
    return "" if of_seeds(point, LOSS) else "no loss"


def lost_beside(point: Point, other: Point) -> str:
    """What was lost of either, of the first in the first place; nothing where nothing was."""
    theirs = lost_at(other)
    return lost_at(point) or (f"{other.cell.activation}: {theirs}" if theirs else "")


def _one_each(members: Sequence[Point]) -> bool:
    """Whether no activation has two points of one size."""
    sizes = [(p.cell.activation, max(of_seeds(p, PARAMETERS))) for p in members]
    return len(set(sizes)) == len(sizes)


def _without(cell: Cell, names: Sequence[str]) -> Cell:
    """Without the activation and these axes, but for words, such as a learning rate that is `tuned`."""
    axes = tuple((k, v) for k, v in cell.axes if k not in names or isinstance(v, str))
    return replace(cell.place, axes=axes)


def exponent(sizes: Sequence[float], losses: Sequence[float], confidence: float = CONFIDENCE_SEED) -> Estimate:
    """a of loss = c N^-a, by least squares of log loss on log parameters, with its t interval.

    The power law of Kaplan et al., arXiv:2001.08361, without the irreducible loss, which so few sizes do not
    show; the interval rests on how far the sizes lie from the line, with two degrees of freedom fewer than sizes.
    """
    slope = line([math.log(n) for n in sizes], [math.log(v) for v in losses], confidence)
    return Estimate(-slope.value, -slope.high, -slope.low, slope.n)


def line(xs: Sequence[float], ys: Sequence[float], confidence: float = CONFIDENCE_SEED) -> Estimate:
    """Slope of the least-squares line with its t interval, which is infinite for two points.

    Raises:
        ValueError: fewer than two different x.
    """
    (slope, base), middle, n = linear_regression(xs, ys), fmean(xs), len(xs)
    if n < 3:
        return Estimate(slope, -math.inf, math.inf, n)
    squares = math.fsum((x - middle) ** 2 for x in xs)
    rest = math.fsum((y - base - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
    half = t_quantile(n - 2, confidence) * math.sqrt(rest / (n - 2) / squares)
    return Estimate(slope, slope - half, slope + half, n)


def trends(ladder: Ladder, reference: Ladder) -> dict[int, float]:
    """Slope of the paired difference of losses per tenfold parameters, by seed: of all that have all sizes of both.

    What is not finite is not there.
    """
    pairs = beside(ladder, reference)
    if len(pairs) < LEAST_SIZES:
        return {}
    xs = [math.log10(max(of_seeds(p, PARAMETERS))) for p, _ in pairs]
    by_size = [seed_differences(point, other, VAL_LOSS) for point, other in pairs]
    whole = sorted(set.intersection(*({s for s, d in of.items() if math.isfinite(d)} for of in by_size)))
    return {seed: line(xs, [differences[seed] for differences in by_size]).value for seed in whole}


def beside(ladder: Ladder, reference: Ladder) -> list[tuple[Point, Point]]:
    """The sizes of an activation that the reference has too, each with the reference there."""
    by_place = {p.cell.place: p for p in reference.rungs}
    return [(p, by_place[p.cell.place]) for p in ladder.rungs if p.cell.place in by_place]
