"""What the statistics promise, held by seeded simulation: coverage, false alarms and power."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st

from polybench import stats
from polybench.compare.comparison import decide, judge_times
from polybench.kind import kind_of
from polybench.launches import Rules
from polybench.launches import used as launches_used
from polybench.stats import Estimate

TIME = kind_of("speed").metric("total_time")
LOSS = kind_of("pretrain").metric("val_loss")
RULES = Rules(pilot=5, most=60, margin=0.03)  # as speed has them by itself
# Three shapes of noise around a centre of zero: median and mean for the symmetric ones, median for all.
NOISE: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda g, shape: g.normal(size=shape),
    "t3": lambda g, shape: g.standard_t(3, size=shape),
    "lognormal": lambda g, shape: g.lognormal(sigma=1.0, size=shape) - 1.0,
}


@pytest.mark.parametrize("shape", NOISE)
@pytest.mark.parametrize(
    ("launches", "times", "low", "high"), [(1, 2000, 0.98, 0.997), (3, 800, 0.965, 1), (5, 800, 0.965, 0.995)]
)
def test_the_interval_of_times_covers_as_it_says(
    shape: str, launches: int, times: int, low: float, high: float
) -> None:
    """Nominal 98 %; the exact interval of 20 blocks covers 98.8 % whatever the noise."""
    values = NOISE[shape](np.random.default_rng(1), (times, launches, 20))
    # The mean of medians of a skewed noise has a bias of its own; it is what several launches estimate.
    centre = (
        float(np.median(NOISE[shape](np.random.default_rng(2), (20_000, 20)), axis=1).mean()) if launches > 1 else 0.0
    )
    found = [stats.of_launches(v.tolist()) for v in values]
    assert low <= statistics.fmean(e.low <= centre <= e.high for e in found) <= high


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("launches", [3, 4])
def test_launches_that_differ_are_covered_too(launches: int, spread: float) -> None:
    """Nominal 98 %; few launches that differ by as much as blocks cost some of it, and no more than this."""
    generator = np.random.default_rng(7)
    values = generator.normal(size=(800, launches, 20)) + spread * generator.normal(size=(800, launches, 1))
    found = [stats.of_launches(v) for v in values.tolist()]
    assert statistics.fmean(e.low <= 0 <= e.high for e in found) >= 0.94


@pytest.mark.parametrize("shape", NOISE)
@pytest.mark.parametrize("n", [3, 8])
def test_the_interval_of_paired_losses_covers_as_it_says(shape: str, n: int) -> None:
    """Nominal 95 %; a difference of two seeds' noise is symmetric, so a t interval errs on the wide side."""
    generator = np.random.default_rng(3)
    differences = NOISE[shape](generator, (1500, n)) - NOISE[shape](generator, (1500, n))
    covered = [e.low <= 0 <= e.high for e in (stats.paired(d) for d in differences.tolist())]
    assert 0.935 <= statistics.fmean(covered) <= 0.99


@pytest.mark.parametrize("shape", NOISE)
def test_equal_code_is_hardly_ever_called_better_or_worse(shape: str) -> None:
    """At a margin of 3 %, blocks that differ by 5 % and launches that differ by 1 %: below 1 in 100."""
    generator = np.random.default_rng(4)
    blocks = 0.05 * NOISE[shape](generator, (150, 3, 20)) + 0.01 * generator.normal(size=(150, 3, 1))
    outcomes = [decide(stats.of_launches(v), math.log1p(0.03), TIME) for v in blocks.tolist()]
    assert sum(o in ("better", "worse") for o in outcomes) <= 1


@pytest.mark.parametrize(
    ("factor", "outcome", "least"), [(1.0, "same", 0.9), (1.1, "worse", 0.95), (1 / 1.1, "better", 0.95)]
)
def test_what_is_so_is_found(factor: float, outcome: str, least: float) -> None:
    """Blocks of 1 % unevenness settle ten per cent either way, and equality."""
    blocks = math.log(factor) + 0.01 * np.random.default_rng(5).normal(size=(100, 3, 20))
    outcomes = [decide(stats.of_launches(v), math.log1p(0.03), TIME) for v in blocks.tolist()]
    assert statistics.fmean(o == outcome for o in outcomes) >= least


def test_losses_of_equal_code_are_called_different_as_often_as_the_confidence_says() -> None:
    differences = np.random.default_rng(6).normal(size=(2000, 5)).tolist()
    wrong = statistics.fmean(decide(stats.paired(d), 0.0, LOSS) in ("better", "worse") for d in differences)
    assert 0.035 <= wrong <= 0.065


@LAWS
@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.5))
def test_a_decision_follows_the_interval_and_the_direction(
    value: float, below: float, above: float, margin: float
) -> None:
    change = Estimate(value, value - below, value + above, 9)
    mirrored = Estimate(-value, -value - above, -value + below, 9)
    opposite = {"better": "worse", "worse": "better"}
    rate = kind_of("pretrain").metric("tokens_per_s")
    outcome = decide(change, margin, TIME)
    assert decide(mirrored, margin, TIME) == opposite.get(outcome, outcome)
    assert decide(change, margin, rate) == opposite.get(outcome, outcome)
    assert (outcome in opposite) == (change.low > margin or change.high < -margin)
    assert decide(change, margin, kind_of("speed").metric("wall_time")) == "none"


def autocorrelated(generator: np.random.Generator, shape: tuple[int, ...], phi: float) -> np.ndarray:
    """Standard normal noise whose neighbouring blocks correlate by phi."""
    shocks = generator.normal(size=shape)
    values = np.empty(shape)
    values[..., 0] = shocks[..., 0]
    for k in range(1, shape[-1]):
        values[..., k] = phi * values[..., k - 1] + math.sqrt(1 - phi**2) * shocks[..., k]
    return values


def cells(phi: float, blocks: int, spread: float, arms: int = 4) -> list[list[list[list[float]]]]:
    generator = np.random.default_rng(11)
    shape = (150, arms, 3)
    values = autocorrelated(generator, (*shape, blocks), phi) + spread * generator.normal(size=(*shape, 1))
    return values.tolist()


@pytest.mark.parametrize("phi", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("blocks", [20, 60])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3, 1.0])
def test_the_interval_covers_when_blocks_hang_together(phi: float, blocks: int, spread: float) -> None:
    """Nominal 98 %: neither a memory from block to block nor differences between launches cost more than 3 %."""
    covered = []
    for cell in cells(phi, blocks, spread):
        excess = stats.launch_excess(cell)
        found = [stats.of_launches(launches, excess=excess) for launches in cell]
        covered += [e.low <= 0 <= e.high for e in found]
    assert statistics.fmean(covered) >= 0.95


@pytest.mark.parametrize(("who", "least"), [("every arm", 0.95), ("the reference", 0.91), ("one arm", 0.88)])
@pytest.mark.parametrize("spread", [2.0, 3.0, 5.0])
def test_launches_that_differ_cost_some_coverage_and_no_more_than_is_said(
    who: str, least: float, spread: float
) -> None:
    """Nominal 98 %; seven arms over one reference, launches that differ by a multiple of what blocks explain."""
    generator, arms, blocks = np.random.default_rng(13), 7, 40
    offset = spread * 1.25 / math.sqrt(blocks) * generator.normal(size=(200, arms, 3, 1))
    if who == "the reference":
        offset[:] = offset[:, :1]
    elif who == "one arm":
        offset[:, 1:] = 0
    noise = generator.normal(size=(200, arms + 1, 3, blocks))
    values = ((noise[:, 1:] - noise[:, :1]) / math.sqrt(2) + offset).tolist()
    covered = []
    for cell in values:
        excess = stats.launch_excess(cell)
        asked = cell[:1] if who == "one arm" else cell
        covered += [e.low <= 0 <= e.high for e in (stats.of_launches(v, excess=excess) for v in asked)]
    assert statistics.fmean(covered) >= least


def test_asking_all_siblings_narrows_the_interval_where_launches_agree() -> None:
    """Alone, a third of the cells see launches differ by chance and pay with two degrees of freedom."""
    alone, together = [], []
    for cell in cells(0.0, 60, 0.0, arms=7):
        excess = stats.launch_excess(cell)
        alone += [stats.of_launches(launches).half_width for launches in cell]
        together += [stats.of_launches(launches, excess=excess).half_width for launches in cell]
    wide = statistics.quantiles(alone, n=10)[-1]
    assert statistics.quantiles(together, n=10)[-1] < wide / 2


def verdicts(
    factor: float, block_sd: float, launch_sd: float, times: int = 200, rules: Rules = RULES
) -> tuple[list[str], list[int]]:
    """The whole procedure: launches of ten blocks, a second copy, two equal arms beside; and how many were used.

    Every arm's launches are off by themselves, the reference's too, so that ratios have the spreads that are named.
    """
    generator, looks, found, used = np.random.default_rng(12), rules.looks(), [], []
    for _ in range(times):
        shape = (4, rules.most, 10)
        noise = block_sd * autocorrelated(generator, shape, 0.2) + launch_sd * generator.normal(size=(*shape[:2], 1))
        arms = (noise[1:] - noise[:1]) / math.sqrt(2)
        arms[0] += math.log(factor)
        launches: list[list[list[float]]] = arms.tolist()
        taken = launches_used({"arm": launches[0]}, launches[1], rules)["arm"]
        assert taken in looks
        one, control = launches[0][:taken], launches[1][:taken]
        found.append(judge_times(one, math.log1p(rules.margin), stats.of_launches(control), TIME, None)[2])
        used.append(taken)
    return found, used


@pytest.mark.parametrize(("block_sd", "launch_sd"), [(0.067, 0.02), (0.03, 0.005), (0.1, 0.05), (0.01, 0.001)])
def test_going_on_until_it_is_settled_raises_no_false_alarm(block_sd: float, launch_sd: float) -> None:
    found, used = verdicts(1.0, block_sd, launch_sd)
    assert not {"better", "worse"} & set(found)
    assert statistics.fmean(used) < RULES.most


@pytest.mark.parametrize(
    ("factor", "block_sd", "launch_sd", "least", "blocks"),
    [(1.05, 0.067, 0.02, 0.92, 480), (1.08, 0.067, 0.02, 0.98, 200), (1.05, 0.03, 0.005, 0.99, 150),
     (1.08, 0.1, 0.05, 0.95, 480), (1 / 1.08, 0.067, 0.02, 0.98, 200)],
)  # fmt: skip
def test_a_real_difference_is_found_in_less_than_it_took(
    factor: float, block_sd: float, launch_sd: float, least: float, blocks: int
) -> None:
    """Three launches of 160 blocks found x1.05 in none of a hundred, at a launch spread of 2 %."""
    found, used = verdicts(factor, block_sd, launch_sd)
    assert statistics.fmean(v == ("worse" if factor > 1 else "better") for v in found) >= least
    assert ("better" if factor > 1 else "worse") not in found
    assert 10 * statistics.fmean(used) < blocks


def test_equal_code_is_shown_to_be_the_same() -> None:
    found, _ = verdicts(1.0, 0.067, 0.02)
    assert statistics.fmean(v == "same" for v in found) >= 0.98


def test_at_the_margin_itself_a_verdict_is_as_rare_as_the_level_says() -> None:
    """Three per cent slower is not beyond three per cent; the intervals allow one in a hundred on this side."""
    found, _ = verdicts(1.03, 0.03, 0.01, times=400)
    assert statistics.fmean(v in ("better", "worse") for v in found) <= 0.025


@pytest.mark.parametrize(("factor", "half_width"), [(1.0, None), (1.05, None), (1.67, None), (1.67, 0.02)])
def test_the_interval_that_is_shown_covers_although_it_was_looked_at(factor: float, half_width: float | None) -> None:
    """Nominal 98 %, ended by looks at 5, 7, 10, ... launches."""
    generator, rules = np.random.default_rng(21), replace(RULES, half_width=half_width)
    covered = []
    for _ in range(400):
        noise = 0.067 * generator.normal(size=(3, rules.most, 10)) + 0.02 * generator.normal(size=(3, rules.most, 1))
        one, control = ((noise[1:] - noise[:1]) / math.sqrt(2)).tolist()
        one = [[v + math.log(factor) for v in launch] for launch in one]
        taken = launches_used({0: one}, control, rules)[0]
        shown = stats.of_launches(one[:taken])
        covered.append(shown.low <= math.log(factor) <= shown.high)
        assert not half_width or taken == rules.most or shown.half_width <= math.log1p(half_width)
    assert statistics.fmean(covered) >= 0.955
