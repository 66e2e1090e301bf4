"""Effective speed-up: how many times as much the reference's law spends until it reaches an activation's loss.

A law is fitted to the reference's losses over its sizes, seed by seed. What it spends for the activation's loss is held
against what it spends for the reference's own loss at the same size and seed, each over what was really spent. So where
the law lies beside that size drops out, and equal losses give exactly 1.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from polybench.compare.comparison import exp
from polybench.compare.derive import extended
from polybench.compare.grid import seed_differences
from polybench.compare.law import Fit, Law, fits, fitted, with_irreducible
from polybench.compare.points import PARAMETERS, Point, of_seeds
from polybench.compare.scaling import LEAST_SIZES, LOSS, Ladder, ladders
from polybench.compare.way import tokens_of
from polybench.measure.kinds.pretrain import VAL_LOSS
from polybench.measure.training_metrics import FLOPS, SPEED_UP
from polybench.record import Measurement, Record
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_SEED, Estimate
from polybench.trial import Cell

IN_PROPORTION = 1.1  # ratio within which tokens a parameter are the same at every size
DRAWS = 400  # of seeds, for the resampled interval

Spending = Callable[[Point], float]
Pair = tuple[Point, Point]  # an activation at one size, and the reference there


def tokens(point: Point) -> float:
    """Tokens of a whole training, mean over its seeds; infinite where nothing says so."""
    return fmean(map(tokens_of, point.ok()))


def flops(point: Point) -> float:
    """FLOPs of a whole training; infinite where nobody counted those of a token, or it took no step."""
    return tokens(point) * max(of_seeds(point, FLOPS.name), default=math.inf) or math.inf


@dataclass(frozen=True)
class Reference:
    """What each size of the reference spent, and its losses there, of the seeds that have all sizes."""

    sizes: tuple[float, ...]
    spent: tuple[float, ...]
    losses: Mapping[int, tuple[float, ...]]  # by seed

    @cached_property
    def fits(self) -> list[Fit]:
        """Of the mean losses, the one that is taken first."""
        means = [fmean(of_size) for of_size in zip(*self.losses.values(), strict=True)]
        return fits(self.spent, means, self.lowest)

    @property
    def fit(self) -> Fit:
        return self.fits[0]

    @property
    def lowest(self) -> float:
        """The lowest loss of any seed, which every irreducible loss is below."""
        return min(map(min, self.losses.values()))

    @cached_property
    def by_seed(self) -> dict[int, Law]:
        """A law a seed; the irreducible loss, which one seed tells badly, is that of the means."""
        return self.laws(self.fit)

    def laws(self, fit: Fit) -> dict[int, Law]:
        return {seed: fitted(self.spent, ls, fit.law.irreducible) for seed, ls in self.losses.items()}

    @property
    def trouble(self) -> str:
        """Where the loss does not fall with what is spent, so that nothing is read by this law; empty where it does."""
        if self.fit.law.exponent <= 0:
            return "at these sizes"
        sizes = (n for law, n in zip(self.fit.without, self.sizes, strict=True) if law.exponent <= 0)
        seeds = (seed for seed, law in self.by_seed.items() if law.exponent <= 0)
        size, seed = next(sizes, None), next(seeds, None)
        if size is not None:
            return f"without the size of {size:,.0f} parameters"
        return f"with seed {seed}" if seed is not None else ""

    def extrapolates(self, spent: float) -> bool:
        """Whether so much is less than the smallest size spent or more than the largest, beyond rounding."""
        low, high = min(self.spent), max(self.spent)
        return not low * (1 - 1e-9) <= spent <= high * (1 + 1e-9)


def obstacle(ladder: Ladder, spending: Spending) -> str:
    """Why no law can be fitted to a ladder; empty where one can."""
    spent = [spending(point) for point in ladder.rungs]
    if ladder.lost:
        return f"{ladder.lost} at one of them"
    if not all(0 < s < math.inf for s in spent):
        return "it is not recorded what they spent"
    if len({*spent}) < len(spent):
        return "two of them spent the same"
    return "" if _whole(ladder) else "no seed has all of them"


def _whole(ladder: Ladder) -> dict[int, tuple[float, ...]]:
    """The losses of every size, by seed, of the seeds that have all sizes."""
    by_size = [_losses(point) for point in ladder.rungs]
    seeds = sorted(set.intersection(*map(set, by_size)))
    return {seed: tuple(losses[seed] for losses in by_size) for seed in seeds}


def reference(ladder: Ladder, spending: Spending) -> Reference | None:
    """None where there is an obstacle."""
    if obstacle(ladder, spending):
        return None
    return Reference(tuple(ladder.sizes), tuple(map(spending, ladder.rungs)), _whole(ladder))


def _losses(point: Point) -> dict[int, float]:
    found = {r.trial.seed: m.values[0] for r in point.ok() if (m := r.get(LOSS))}
    return {seed: loss for seed, loss in found.items() if 0 < loss < math.inf}


def in_proportion(ladder: Ladder) -> bool:
    """Whether every size was trained on as many tokens a parameter."""
    shares = [tokens(point) / size for point, size in zip(ladder.rungs, ladder.sizes, strict=True)]
    return max(shares) < math.inf and max(shares) <= IN_PROPORTION * min(shares)


def log_speed_ups(laws: Mapping[int, Law], pair: Pair, spending: Spending) -> dict[int, float]:
    """ln of the speed-up at one size, by seed; infinite where the law never reaches the loss.

    Seeds are paired as in every comparison of losses.
    """
    (point, twin), (mine, theirs) = pair, map(_losses, pair)
    more = math.log(spending(point)) - math.log(spending(twin))
    return {
        seed: laws[seed].log_spent_at(mine[seed]) - laws[seed].log_spent_at(theirs[seed]) - more
        for seed in seed_differences(point, twin, VAL_LOSS)
        if seed in laws and seed in mine and seed in theirs
    }


def over_sizes(by_size: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean over all sizes, by seed, of those that have all."""
    whole = sorted(set.intersection(*map(set, by_size)))
    return {seed: fmean(values[seed] for values in by_size) for seed in whole}


def without_one(known: Reference, pair: Pair, spending: Spending) -> list[float]:
    """ln of the speed-up, mean over the seeds, by each law that one of the sizes was left out of."""
    laws = (dict.fromkeys(known.losses, law) for law in known.fit.without)
    return [fmean(log_speed_ups(of_law, pair, spending).values()) for of_law in laws]


def resampled(known: Reference, pairs: Sequence[Pair], spending: Spending) -> list[Estimate]:
    """Percentile intervals of ln of the speed-ups at each of these sizes and, last, of their mean, by drawing seeds.

    A check on the t interval, which does not carry the noise of the irreducible loss: that is fitted to each draw anew.
    """
    where = [known.spent.index(spending(twin)) for _, twin in pairs]
    losses = [_losses(point) for point, _ in pairs]
    more = [math.log(spending(point)) - math.log(spending(twin)) for point, twin in pairs]
    seeds = sorted(set(known.losses).intersection(*losses))
    draw, free = random.Random(0), known.fit.law.irreducible > 0
    drawn: list[list[float]] = []
    for _ in range(DRAWS if len(seeds) > 1 else 0):
        some = draw.choices(seeds, k=len(seeds))
        means = [fmean(of_size) for of_size in zip(*(known.losses[s] for s in some), strict=True)]
        floor = with_irreducible(known.spent, means, known.lowest).irreducible if free else 0.0
        laws = {s: fitted(known.spent, known.losses[s], floor) for s in {*some}}
        drawn.append([
            fmean(laws[s].log_spent_at(of[s]) - laws[s].log_spent_at(known.losses[s][i]) for s in some) - extra
            for i, of, extra in zip(where, losses, more, strict=True)
        ])  # fmt: skip
    return [_percentiles(values) for values in (*zip(*drawn, strict=True), map(fmean, drawn))] if drawn else []


def _percentiles(values: Iterable[float]) -> Estimate:
    ordered = sorted(values)
    cut = round(len(ordered) * (1 - CONFIDENCE_SEED) / 2)
    return Estimate(ordered[len(ordered) // 2], ordered[cut], ordered[-1 - cut], len(ordered))


def with_speed_up(run: Run) -> Run:
    """The run with `effective_speed_up` of every training in a ladder, where the reference's law of FLOPs stands.

    It is that of a training beside the law; a comparison divides it by the reference's own.
    """
    counted = [r for r in run.records if r.get(FLOPS.name)]
    if len({m.values for r in counted if (m := r.get(PARAMETERS))}) < LEAST_SIZES:
        return run
    kinds, cells = {r.trial.cell.kind for r in counted}, defaultdict[tuple[str, Cell], list[Record]](list)
    for record in run.records:
        if record.trial.cell.kind in kinds:
            cells[record.trial.benchmark, record.trial.cell].append(record)
    added: dict[str, list[Measurement]] = {}
    families = ladders((Point(*cell, tuple(rs)) for cell, rs in cells.items()), run.suite.reference)
    for steps in families.values():
        known = reference(next(x for x in steps if x.activation == run.suite.reference), flops)
        if known and not known.trouble:
            for point in (p for x in steps for p in x.rungs if flops(p) < math.inf):
                added |= _readings(known.by_seed, point)
    return extended(run, added, {cell.kind: (SPEED_UP,) for _, cell in families})


def _readings(laws: Mapping[int, Law], point: Point) -> dict[str, list[Measurement]]:
    """By trial; of a loss that is not finite too, so that nothing is said of the others alone."""
    losses = {r.trial.seed: m.values[0] for r in point.ok() if (m := r.get(LOSS)) and not m.values[0] <= 0}
    spent, trials = math.log(flops(point)), {r.trial.seed: r.trial.id for r in point.ok()}
    logs = {seed: laws[seed].log_spent_at(losses[seed]) - spent for seed in losses if seed in laws}
    return {trials[seed]: [Measurement(SPEED_UP.name, (exp(log),))] for seed, log in logs.items()}
