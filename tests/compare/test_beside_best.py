"""A learning rate beside the best one: paired by seed, and told apart no more often by chance than is promised."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st

from polybench.compare.rates import beside_best
from polybench.plan.tuning import best_rate
from polybench.stats import clopper_pearson, paired

GRID = (1e-3, 2e-3, 4e-3, 8e-3)
BY_SEED = st.dictionaries(
    st.sampled_from(GRID), st.dictionaries(st.integers(0, 3), st.floats(1, 9), min_size=1), min_size=1
)


@LAWS
@given(BY_SEED)
def test_every_other_rate_stands_beside_the_best_by_the_seeds_that_both_have(
    by_seed: dict[float, dict[int, float]],
) -> None:
    best = best_rate({rate: [*losses.values()] for rate, losses in by_seed.items()})
    assert best is not None
    found = beside_best(by_seed, best)
    shared = {r: sorted(of.keys() & by_seed[best].keys()) for r, of in by_seed.items() if r != best}
    assert found.keys() == {r for r, seeds in shared.items() if seeds}
    for rate, beside in found.items():
        assert beside.change == paired(
            [by_seed[rate][s] - by_seed[best][s] for s in by_seed[best] if s in by_seed[rate]]
        )
        assert (beside.p is None) == (len(shared[rate]) < 2)
        assert not beside.told or not beside.change.low <= 0 <= beside.change.high


def test_a_rate_that_lost_a_seed_is_not_compared() -> None:
    assert not beside_best({1e-3: {0: 3.0, 1: 3.0}, 2e-3: {0: 2.0, 1: math.nan}}, 1e-3)


def test_a_seed_that_moves_all_rates_alike_tells_them_apart() -> None:
    moved = {
        rate: {s: 3 + 5 * s + 0.1 * i + 0.001 * (s * (2 * i + 1) % 9) for s in range(4)} for i, rate in enumerate(GRID)
    }
    found = beside_best(moved, 1e-3)
    assert all(b.told and b.change.half_width < 0.01 for b in found.values())


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_of_equal_rates_one_is_told_from_the_best_in_a_twentieth_of_tunings(seeds: int) -> None:
    """Though the best was chosen on the same seeds, by which the interval alone excludes 0 far more often."""
    draw, told, alone, count = random.Random(seeds), 0, 0, 400
    for _ in range(count):
        by_seed = {rate: {s: draw.gauss(0, 1) for s in range(seeds)} for rate in GRID}
        found = beside_best(by_seed, min(GRID, key=lambda r: fmean(by_seed[r].values()))).values()
        told += any(b.told for b in found)
        alone += any(b.change.low > 0 for b in found)
    assert clopper_pearson(told, count)[0] <= 0.05 < clopper_pearson(alone, count)[0]
