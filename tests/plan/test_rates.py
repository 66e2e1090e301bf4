"""The best learning rate: least mean over seeds, never one that a seed did not survive."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.plan import tuning

LAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)
GRID = (1e-3, 2e-3, 4e-3, 8e-3)
LOSS = st.floats(1, 9) | st.sampled_from([math.inf, math.nan])
TABLE = st.dictionaries(st.sampled_from(GRID), st.lists(LOSS, min_size=2, max_size=2))


@LAWS
@given(TABLE)
def test_the_best_rate_has_the_least_mean_of_those_that_every_seed_survived(losses: dict[float, list[float]]) -> None:
    found = tuning.best_rate(losses)
    whole = {rate: fmean(v) for rate, v in losses.items() if all(map(math.isfinite, v))}
    assert (found is None) == (not whole)
    if found is not None:
        assert whole[found] == min(whole.values())


@pytest.mark.parametrize("lost", [[2.0, math.nan], [2.0, math.inf], [2.0], []])
def test_a_rate_that_lost_a_seed_does_not_count_however_low_the_others_are(lost: list[float]) -> None:
    assert tuning.best_rate({1e-3: [3.0, 3.1], 2e-3: lost}) == 1e-3
    assert tuning.shared_rate({"relu": {1e-3: [3.0, 3.1], 2e-3: lost}, "gelu": {1e-3: [3, 3], 2e-3: [2, 2]}}) == 1e-3


def test_the_lower_of_two_equal_rates_is_taken() -> None:
    assert tuning.best_rate({4e-3: [3.0], 1e-3: [3.0], 2e-3: [3.0]}) == 1e-3


@pytest.mark.parametrize(
    ("rate", "tried", "edge"),
    [(1e-3, GRID, "low"), (8e-3, GRID, "high"), (2e-3, GRID, ""), (1e-3, [1e-3], "low"), (4e-3, GRID[::-1], "")],
)
def test_an_edge_is_where_nothing_further_was_tried(rate: float, tried: list[float], edge: str) -> None:
    assert tuning.at_edge(rate, tried) == edge


def test_the_shared_rate_is_best_on_average_among_those_all_tried() -> None:
    of = {
        "relu": {1e-3: [3.0], 2e-3: [2.9], 4e-3: [3.2], 8e-3: [1.0]},
        "gelu": {1e-3: [3.5], 2e-3: [3.4], 4e-3: [3.0]},
    }
    assert tuning.best_rate(of["gelu"]) == 4e-3
    assert tuning.shared_rate(of) == 4e-3
    assert tuning.shared_rate({**of, "swiglu": {1e-3: [3.0], 4e-3: [math.nan]}}) == 1e-3
    assert tuning.shared_rate({**of, "swiglu": {5e-3: [3.0]}}) is None
    assert tuning.shared_rate({}) is None


@LAWS
@given(TABLE)
def test_one_activation_shares_its_own_best_rate(losses: dict[float, list[float]]) -> None:
    assert tuning.shared_rate({"relu": losses}) == tuning.best_rate(losses)
