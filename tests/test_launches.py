"""When a comparison of times needs further launches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st

from polybench.launches import Rules, going_on, margin_beside, settled, used

RULES = Rules(pilot=5, most=60, margin=0.03)


def launches(centre: float, sd: float, count: int, seed: int = 0) -> list[list[float]]:
    """Of one block each, evenly spread, so that every test knows their interval."""
    values = np.linspace(-1.0, 1.0, count)
    order = np.random.default_rng(seed).permutation(count)
    return [[v] for v in (centre + sd * (values / values.std(ddof=1))[order]).tolist()]


@LAWS
@given(st.integers(1, 40), st.integers(1, 200))
def test_looks_are_few_grow_and_end_with_the_last_launch(pilot: int, most: int) -> None:
    looks = Rules(pilot, most, 0.03).looks()
    assert looks[0] == min(pilot, most)
    assert looks[-1] == most
    assert all(b > a for a, b in pairwise(looks))
    assert len(looks) <= 3 + math.log(max(1, most / pilot), 1.25) if pilot > 3 else True


@pytest.mark.parametrize(
    ("centre", "sd", "expected"),
    [
        (0.3, 0.02, True),  # beyond the margin
        (-0.3, 0.02, True),
        (0.0, 0.004, True),  # within it
        (0.05, 0.02, False),
        (math.log1p(0.03), 0.003, True),  # at the margin itself, and known to a third of it
        (math.log1p(0.03), 0.03, False),
    ],
)
def test_it_is_settled_when_more_would_change_nothing(centre: float, sd: float, expected: bool) -> None:
    assert settled(launches(centre, sd, 5), launches(0.0, 0.004, 5), RULES) is expected


def test_what_is_decided_goes_on_until_it_is_as_narrow_as_wanted() -> None:
    control, far = launches(0.0, 0.02, 7), launches(1.5, 0.05, 7)
    assert settled(far, control, RULES)
    assert not settled(far, control, Rules(5, 60, 0.03, half_width=0.02))
    assert settled(launches(1.5, 0.01, 7), control, Rules(5, 60, 0.03, half_width=0.02))


def test_one_launch_settles_nothing_however_narrow_its_blocks_make_it() -> None:
    far, near = [[1.5] * 30], [[0.0] * 30]
    assert not settled(far, near, RULES)
    assert not settled(near, near, RULES)
    assert settled(far * 2, near * 2, RULES)


def test_an_early_end_needs_more_than_the_interval_that_is_shown() -> None:
    """The last look is left with about all of its confidence."""
    ratio = launches(0.09, 0.03, 5)
    assert not settled(ratio, launches(0.0, 0.001, 5), RULES)
    from polybench.stats import of_launches

    assert of_launches(ratio).low > math.log1p(0.03)


def test_equal_code_that_is_off_raises_the_margin_by_twice_that() -> None:
    assert margin_beside(0.03, 0.01) == 0.03
    assert margin_beside(0.03, -0.05) == 0.1
    ratio = launches(0.08, 0.01, 5)
    assert settled(ratio, launches(0.0, 0.02, 5), RULES)
    assert not settled(ratio, launches(0.03, 0.04, 5), RULES)


def test_where_equal_code_differs_nothing_is_decided_by_more() -> None:
    assert settled(launches(0.05, 0.02, 5), launches(0.2, 0.01, 5), RULES)


def test_those_that_are_settled_leave() -> None:
    arms = {"far": launches(0.5, 0.02, 60), "near": launches(0.05, 0.1, 60)}
    control = launches(0.0, 0.02, 60)
    assert going_on({k: v[:5] for k, v in arms.items()}, control[:5], RULES) == {"near"}
    taken = used(arms, control, RULES)
    assert taken["far"] == 5
    assert taken["near"] in RULES.looks()[1:]


def test_a_replay_uses_no_more_than_was_recorded() -> None:
    assert used({"a": launches(0.03, 0.5, 9)}, launches(0.0, 0.02, 9), RULES) == {"a": 9}
    assert used({}, [], RULES) == {}
