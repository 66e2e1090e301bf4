"""Learning rates side by side: how each that was tried differs from the best, and whether the seeds tell it apart."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from statistics import fmean

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Group, Point
from polybench.corrections import holm_of, resolves
from polybench.kind import registered
from polybench.metric import Metric
from polybench.plan.tuning import TUNING, Losses
from polybench.stats import Estimate, paired, t_test

BySeed = Mapping[float, Mapping[int, float]]  # learning rate -> seed -> loss, not finite where it was lost


@dataclass(frozen=True)
class Beside:
    """A rate beside the best one: its loss less that of the best, paired by tuning seed, with the 95 % t interval.

    `p` is that of no difference after Holm over every pair of rates, since which one is the best was seen first;
    None where fewer than two seeds have both.
    """

    change: Estimate
    p: float | None

    @property
    def told(self) -> bool:
        """Whether the seeds tell it from the best."""
        return resolves(self.p)


@dataclass(frozen=True)
class Tried:
    """All that was tried at one place."""

    metric: Metric
    points: tuple[Point, ...]

    @cached_property
    def by_seed(self) -> dict[str, dict[float, dict[int, float]]]:
        """The losses by activation, rate and seed, nan for a seed that was lost."""
        tried: dict[str, dict[float, dict[int, float]]] = defaultdict(dict)
        for point in self.points:
            kept = {r.trial.seed: fmean(m.values) for r in point.ok() if (m := r.get(self.metric.name))}
            losses = {r.trial.seed: kept.get(r.trial.seed, math.nan) for r in point.records}
            tried[point.cell.activation][float(point.cell.axis("lr"))] = losses
        return dict(tried)

    @cached_property
    def losses(self) -> dict[str, Losses]:
        """The same in the order of the seeds, as the plan takes its rates from them."""
        return {name: {rate: [*of.values()] for rate, of in tried.items()} for name, tried in self.by_seed.items()}

    @cached_property
    def mean_by_seed(self) -> dict[float, dict[int, float]]:
        """Means over the activations, of the rates that all tried and the seeds that all have there."""
        every = list(self.by_seed.values())
        rates = sorted(set.intersection(*map(set, every))) if every else []
        return {
            rate: {s: fmean(of[rate][s] for of in every) for s in every[0][rate] if all(s in of[rate] for of in every)}
            for rate in rates
        }


def tunings(comparisons: Comparisons) -> dict[Group, Tried]:
    """By benchmark and by cell without activation and rate, of the benchmarks that tune."""
    places: dict[Group, list[Point]] = defaultdict(list)
    for point in comparisons.whole.cells.values():
        rate = point.cell.get("lr")
        if point.benchmark.endswith(TUNING) and isinstance(rate, int | float):
            places[point.benchmark, point.cell.without("lr").place].append(point)
    objectives = {group: _objective(comparisons, group[1].kind) for group in places}
    return {group: Tried(metric, tuple(places[group])) for group, metric in objectives.items() if metric}


def beside_best(by_seed: BySeed, best: float) -> dict[float, Beside]:
    """Each other rate that every seed survived and that shares a seed with the best one, ascending."""
    kept = {rate: losses for rate, losses in sorted(by_seed.items()) if all(map(math.isfinite, losses.values()))}
    pairs = {(a, b): _differences(kept[a], kept[b]) for a, b in combinations(kept, 2)}
    adjusted = holm_of({pair: t_test(found) for pair, found in pairs.items() if len(found) > 1})
    changes = {rate: _differences(kept[best], kept[rate]) for rate in kept if rate != best}
    return {
        rate: Beside(paired(found), adjusted.get((min(rate, best), max(rate, best))))
        for rate, found in changes.items()
        if found
    }


def _differences(best: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Loss at the other rate less that at the best one, of the seeds that have both."""
    return [other[seed] - best[seed] for seed in best if seed in other]


def _objective(comparisons: Comparisons, name: str) -> Metric | None:
    """What the rates of a kind were chosen by; of a kind that is not here any more its loss."""
    kind = registered(name)
    chosen = comparisons.run.metrics[name].get(kind.objective) if kind else None
    return chosen or comparisons.loss(name)
