"""A ratio that moved while it was measured is told, and one that stayed is not."""

from __future__ import annotations

import math
import random
import re

import pytest
from builders import run, section, times

from polybench.compare.moving import LEAST, moved
from polybench.medians import Launches
from polybench.report import tables


def independent(seed: int, count: int) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(0, 0.02) for _ in range(count)]


def of(medians: list[float]) -> Launches:
    return Launches([[m] for m in medians])


@pytest.mark.parametrize("count", [LEAST, 60])
def test_independent_launches_are_seldom_said_to_have_moved(count: int) -> None:
    assert sum(moved(of(independent(seed, count))) is not None for seed in range(1000)) <= 3


@pytest.mark.parametrize("count", [30, 60])
def test_a_ratio_that_drifts_is_found_with_where_it_was(count: int) -> None:
    for seed in range(100):
        found = moved(of([0.2 * i / count + noise for i, noise in enumerate(independent(seed, count))]))
        assert found and found.last - found.first == pytest.approx(0.2 * 2 / 3, abs=0.04)


def test_few_launches_or_equal_ones_say_nothing() -> None:
    assert moved(of([0.1 * i for i in range(LEAST - 1)])) is None
    assert moved(of([0.0] * 60)) is None


def test_a_report_says_who_moved_and_of_nobody_else() -> None:
    records = []
    for i, noise in enumerate(independent(0, 40)):
        factors = {"relu": math.exp(noise + 0.3 * i / 40), "gelu": math.exp(noise), "swiglu": 1.0}
        records += times(factors, launches=1, blocks=3, seed=i)
    (table,) = section(tables, run(records)).tables
    (told,) = [note for note in table.notes if "moved while it was measured" in note]
    pattern = r"relu .*moved while it was measured: total_time was (\S+) times swiglu's .*, (\S+) in the last"
    found = re.match(pattern, told)
    assert found and [*map(float, found.groups())] == pytest.approx([math.exp(0.05), math.exp(0.25)], abs=0.02)
