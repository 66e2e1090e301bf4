"""How many seeds find a learning rate: `.venv/bin/python results/notes/tuning.py [--studies N]`, half a minute.

The tuning of the planner is carried out stage by stage on made-up losses: a bowl over the learning rate, of so many
nats for a factor of two from its lowest place, which lies anywhere within a factor of two at the middle of the grid,
and normal noise of each training that its seed does not share with other rates. *Loss missed* is that of the rate
taken above the least of all rates there are, without noise. The verdicts are those of a report.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from polybench.compare.rates import beside_best
from polybench.plan.suite import Tune
from polybench.plan.tuning import OWN, Tuning, best_rate
from polybench.stats import clopper_pearson
from polybench.trial import Cell

GRID = [0.001, 0.002, 0.004, 0.008, 0.016]
MIDDLE = GRID[len(GRID) // 2]
CELL = Cell("pretrain", 1, "swiglu", "eager", "cpu", "float32", (("lr", OWN),))
SEEDS = (1, 2, 3, 5, 8)
NOISE = (0.1, 0.25, 0.5, 1.0, 3.0, 10.0)  # sd of a loss over what a factor of two costs

Loss = Callable[[float, int], float]


@dataclass(frozen=True)
class Study:
    """What a tuning took, what that costs above the best rate, how many trainings it was, and its losses by seed."""

    missed: float
    trainings: int
    by_seed: dict[float, dict[int, float]]
    best: float


def bowl(rate: float, lowest: float) -> float:
    return math.log2(rate / lowest) ** 2


def tuned(seeds: int, loss: Loss, true: Callable[[float], float]) -> Study:
    """Stage after stage, as a run does it."""
    tuning = Tuning("made up", Tune(lr=GRID, seeds=[*range(seeds)]), (CELL,), {})
    while not tuning.ended:
        fresh = {t.id: loss(float(t.cell.axis("lr")), t.seed) for t in tuning.trials if t.id not in tuning.losses}
        tuning = replace(tuning, losses={**tuning.losses, **fresh})
    by_seed: dict[float, dict[int, float]] = {}
    for t in tuning.trials:
        by_seed.setdefault(float(t.cell.axis("lr")), {})[t.seed] = tuning.losses[t.id]
    return _study(by_seed, tuning.rate(CELL) or math.nan, true)


def whole_grid(seeds: int, loss: Loss, true: Callable[[float], float]) -> Study:
    """Every rate of the grid with every seed, and no rate beyond it."""
    by_seed = {rate: {seed: loss(rate, seed) for seed in range(seeds)} for rate in GRID}
    return _study(by_seed, best_rate({r: [*v.values()] for r, v in by_seed.items()}) or math.nan, true)


def _study(by_seed: dict[float, dict[int, float]], best: float, true: Callable[[float], float]) -> Study:
    missed = true(best) - min(map(true, [*GRID, *by_seed]))
    return Study(missed, sum(map(len, by_seed.values())), by_seed, best)


def studies(count: int, seeds: int, sd: float, how: Callable[..., Study], flat: bool = False) -> Iterator[Study]:
    for i in range(count):
        draw = random.Random(f"{i} {seeds} {sd} {how.__name__} {flat}")
        lowest = MIDDLE * 2 ** draw.uniform(-0.5, 0.5)
        true: Callable[[float], float] = (lambda rate: 0.0) if flat else lambda rate, at=lowest: bowl(rate, at)
        yield how(seeds, lambda rate, seed, d=draw, t=true: t(rate) + d.gauss(0, sd), true)


def share(hits: int, count: int) -> str:
    low, high = clopper_pearson(hits, count)
    return f"{hits / count:.1%} [{low:.1%}, {high:.1%}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400, metavar="N")
    count = parser.parse_args().studies
    names = {"refined": tuned, "whole grid": whole_grid}
    print(f"Loss missed at most in 95 % of {count} studies, over what a factor of two costs; how many of them took")
    print("the best rate; trainings in brackets\n")
    print("| noise | way |" + "".join(f" {n} seed{'s' * (n > 1)} |" for n in SEEDS))
    print("|---:|---|" + "---:|" * len(SEEDS))
    for sd in NOISE:
        for name, how in names.items():
            cells = []
            for seeds in SEEDS:
                found = list(studies(count, seeds, sd, how))
                missed = sorted(s.missed for s in found)[math.ceil(0.95 * count) - 1]
                picked, trainings = sum(s.missed == 0 for s in found), sum(s.trainings for s in found)
                cells.append(f"{missed:.2f}, {picked / count:.0%} ({trainings / count:.0f})")
            print(f"| {sd:g} | {name} | {' | '.join(cells)} |")
    print("\nWhere all rates are equal: studies in which a rate is told from the best one, which is a false alarm\n")
    print("| seeds | told apart | by the 95 % interval alone |")
    print("|---:|---:|---:|")
    for seeds in SEEDS[1:]:
        beside = [beside_best(s.by_seed, s.best) for s in studies(count, seeds, 1.0, tuned, flat=True)]
        told = sum(any(b.told for b in rates.values()) for rates in beside)
        alone = sum(any(b.change.low > 0 for b in rates.values()) for rates in beside)
        print(f"| {seeds} | {share(told, count)} | {share(alone, count)} |")


if __name__ == "__main__":
    main()
