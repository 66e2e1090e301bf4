"""A thinned curve keeps its ends, its spikes and its order, and invents nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.measure.training.thinning import thin

LAWS = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@LAWS
@given(st.lists(st.floats(-9, 9), max_size=300), st.integers(4, 60))
def test_what_is_kept_are_raw_points_in_order_with_the_ends_and_the_extremes(values: list[float], most: int) -> None:
    steps = [3 * i + 1 for i in range(len(values))]
    kept_steps, kept = thin(steps, values, most)
    assert len(kept) == len(kept_steps) <= max(most, 0)
    assert list(kept_steps) == sorted(set(kept_steps))
    assert all(values[(s - 1) // 3] == v for s, v in zip(kept_steps, kept, strict=True))
    if values:
        assert (kept[0], kept[-1]) == (values[0], values[-1])
        assert (min(kept), max(kept)) == (min(values), max(values))
    if len(values) <= most:
        assert list(kept) == values
    else:
        assert len(kept) > most / 4


@pytest.mark.parametrize("spike", [math.nan, math.inf, 50.0, -50.0])
def test_a_single_spike_survives(spike: float) -> None:
    values = [1 / (i + 1) for i in range(20_000)]
    values[12_345] = spike
    steps, kept = thin(range(20_000), values)
    assert 12_345 in steps
    assert len(kept) <= 2000


def test_it_refuses_what_it_cannot_thin() -> None:
    for steps, most in (([1, 2], 100), ([1, 2, 3], 3)):
        with pytest.raises(ValueError, match="cannot be thinned"):
            thin(steps, [1.0, 2.0, 3.0], most)
