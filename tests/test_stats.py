"""scipy is the oracle of the formulas, seeded simulation that of the promises."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polybench import stats
from polybench.compare import decide
from polybench.kind import kind_of
from polybench.stats import Estimate
from scipy import stats as scipy_stats

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
NUMBERS = st.floats(-1e3, 1e3).map(lambda x: round(x, 6))
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=30)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)
TIME = kind_of("speed").metric("total_time")
LOSS = kind_of("pretrain").metric("val_loss")
# Three shapes of noise around a centre of zero: median and mean for the symmetric ones, median for all.
NOISE: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda g, shape: g.normal(size=shape),
    "t3": lambda g, shape: g.standard_t(3, size=shape),
    "lognormal": lambda g, shape: g.lognormal(sigma=1.0, size=shape) - 1.0,
}


def draws(seed: int, n: int, size: float = 1.0) -> list[float]:
    return [float(x) for x in np.random.default_rng(seed).normal(0.3, size, n)]


@pytest.mark.parametrize("n", [2, 3, 8, 30])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.98])
def test_paired_is_scipys_paired_t(n: int, confidence: float) -> None:
    a, b = draws(n, n), draws(n + 100, n, 2.0)
    differences = [x - y for x, y in zip(a, b, strict=True)]
    oracle = scipy_stats.ttest_rel(a, b)
    interval = oracle.confidence_interval(confidence)
    found = stats.paired(differences, confidence)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.value == pytest.approx(statistics.fmean(differences))
    assert stats.t_test(differences) == pytest.approx(oracle.pvalue)


def test_the_t_test_without_spread() -> None:
    assert stats.t_test([0.0] * 4) == 1.0
    assert stats.t_test([0.5] * 4) == 0.0
    assert stats.t_test([0.5]) == 1.0


@pytest.mark.parametrize("n", [2, 5, 8, 10])
def test_sign_flip_is_scipys_exact_permutation_test(n: int) -> None:
    differences = draws(n, n)
    oracle = scipy_stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert stats.sign_flip(differences) == pytest.approx(oracle.pvalue)


def test_the_least_p_of_sign_flip_is_two_to_the_one_minus_n() -> None:
    assert [stats.sign_flip([1.0] * n) for n in (1, 5, 6, 8)] == [1.0, 0.0625, 0.03125, 0.0078125]
    with pytest.raises(ValueError, match="17 pairs are too many"):
        stats.sign_flip([1.0] * 17)


@pytest.mark.parametrize("n", [8, 9, 20, 21, 80, 500])
@pytest.mark.parametrize("confidence", [0.9, 0.98])
def test_the_interval_of_a_median_is_scipys(n: int, confidence: float) -> None:
    values = draws(n, n)
    oracle = scipy_stats.quantile_test(values, q=0, p=0.5).confidence_interval(confidence)
    assert stats.median_interval(values, confidence) == (oracle.low, oracle.high)


@pytest.mark.parametrize("n", [*range(1, 30), 1073, 1074, 1100, 4000])
def test_the_interval_of_a_median_is_the_narrowest_that_keeps_its_promise(n: int) -> None:
    """Ranks instead of values, so that the binomial distribution itself is the oracle."""
    low, high = stats.median_interval(range(n), 0.98)
    if math.isinf(low):
        assert 2 * 0.5**n > 0.02
        return
    assert low + high == n - 1
    assert 2 * scipy_stats.binom.cdf(low, n, 0.5) <= 0.02 + 1e-12
    assert 2 * scipy_stats.binom.cdf(low + 1, n, 0.5) > 0.02


@LAWS
@given(P_VALUES)
def test_holm_is_its_definition(p_values: list[float]) -> None:
    found, m = stats.holm(p_values), len(p_values)
    ordered = sorted(p_values)
    for p, adjusted in zip(p_values, found, strict=True):
        up_to = [min(1.0, (m - j) * q) for j, q in enumerate(ordered) if q <= p]
        assert adjusted == max(up_to)
        assert p <= adjusted <= 1


@LAWS
@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_does_not_hang_on_the_order(p_values: list[float], random: object) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    found = stats.holm(p_values)
    assert stats.holm([p_values[i] for i in order]) == [found[i] for i in order]


@LAWS
@given(st.lists(SAMPLES, min_size=1, max_size=7), st.randoms(use_true_random=False))
def test_launches_and_blocks_may_come_in_any_order(launches: list[list[float]], random: object) -> None:
    shuffled = [list(v) for v in launches]
    for values in shuffled:
        random.shuffle(values)  # type: ignore[attr-defined]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = stats.of_launches(launches), stats.of_launches(shuffled)
    assert one.value == pytest.approx(other.value)
    assert one.n == other.n == sum(map(len, launches))
    assert one.known == other.known
    if len(launches) == 1 or len(launches) >= 5:  # between, a bootstrap draws other numbers
        assert (one.low, one.high) == pytest.approx((other.low, other.high))


@LAWS
@given(st.lists(SAMPLES, min_size=1, max_size=7), st.sampled_from([-3.0, 0.5, 100.0]))
def test_an_estimate_moves_with_its_data_and_holds_its_value(launches: list[list[float]], shift: float) -> None:
    one = stats.of_launches(launches)
    moved = stats.of_launches([[v + shift for v in values] for values in launches])
    ends = (one.value + shift, one.low + shift, one.high + shift)
    assert (moved.value, moved.low, moved.high) == pytest.approx(ends, abs=1e-6)
    assert one.low <= one.value <= one.high


@LAWS
@given(st.lists(st.lists(NUMBERS, min_size=7, max_size=12), min_size=2, max_size=4))
def test_a_few_launches_never_claim_less_spread_than_they_show(launches: list[list[float]]) -> None:
    found = stats.of_launches(launches)
    medians = [statistics.median(v) for v in launches]
    assert found.low <= min(medians)
    assert found.high >= max(medians)


@LAWS
@given(st.lists(st.lists(NUMBERS, min_size=7, max_size=20), min_size=1, max_size=6), SAMPLES)
def test_more_confidence_is_never_a_narrower_interval(launches: list[list[float]], differences: list[float]) -> None:
    for of in (lambda c: stats.of_launches(launches, c), lambda c: stats.paired(differences, c)):
        wide, narrow = of(0.98), of(0.8)
        assert wide.low <= narrow.low + 1e-9
        assert wide.high >= narrow.high - 1e-9


@pytest.mark.parametrize("launches", [[[1.0] * 6], [[1.0] * 6, [1.0] * 20], [[1.0] * 6] * 4])
def test_too_few_blocks_give_no_interval(launches: list[list[float]]) -> None:
    assert not stats.of_launches(launches).known


def test_a_single_pair_has_no_interval_and_none_no_value() -> None:
    assert stats.paired([0.5]) == Estimate(0.5, -math.inf, math.inf, 1)
    for of in (stats.paired, stats.of_launches):
        with pytest.raises(ValueError, match="was measured"):
            of([])


@LAWS
@given(st.lists(SAMPLES, min_size=1, max_size=6), st.lists(SAMPLES, min_size=1, max_size=6))
def test_the_difference_of_two_runs_is_odd(old: list[list[float]], new: list[list[float]]) -> None:
    one, other = stats.difference_of_launches(old, new), stats.difference_of_launches(new, old)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=1e-9)
    assert one.low <= one.value <= one.high
    assert stats.difference_of_launches(old, old).value == 0


@LAWS
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9))
def test_so_many_more_seeds_settle_it_and_one_fewer_does_not(differences: list[float]) -> None:
    more, n = stats.more_seeds(differences), len(differences)
    mean, spread = abs(statistics.fmean(differences)), statistics.stdev(differences)

    def half(total: int) -> float:
        return float(scipy_stats.t.ppf(0.975, total - 1)) * spread / math.sqrt(total)

    if more is None:
        assert mean == 0 or half(1000) >= mean * (1 - 1e-9)
    else:
        assert half(n + more) < mean * (1 + 1e-9)
        assert more == 1 or half(n + more - 1) >= mean * (1 - 1e-9)


@pytest.mark.parametrize("shape", NOISE)
@pytest.mark.parametrize(("launches", "times", "low", "high"), [(1, 2000, 0.98, 0.997), (3, 150, 0.96, 1), (5, 800, 0.965, 0.995)])
def test_the_interval_of_times_covers_as_it_says(shape: str, launches: int, times: int, low: float, high: float) -> None:
    """Nominal 98 %; the exact interval of 20 blocks covers 98.8 % whatever the noise."""
    values = NOISE[shape](np.random.default_rng(1), (times, launches, 20))
    # The mean of medians of a skewed noise has a bias of its own; it is what several launches estimate.
    centre = float(np.median(NOISE[shape](np.random.default_rng(2), (20_000, 20)), axis=1).mean()) if launches > 1 else 0.0
    found = [stats.of_launches(v.tolist()) for v in values]
    assert low <= statistics.fmean(e.low <= centre <= e.high for e in found) <= high


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


@pytest.mark.parametrize(("factor", "outcome", "least"), [(1.0, "same", 0.9), (1.1, "worse", 0.95), (1 / 1.1, "better", 0.95)])
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
def test_a_decision_follows_the_interval_and_the_direction(value: float, below: float, above: float, margin: float) -> None:
    change = Estimate(value, value - below, value + above, 9)
    mirrored = Estimate(-value, -value - above, -value + below, 9)
    opposite = {"better": "worse", "worse": "better"}
    rate = kind_of("pretrain").metric("tokens_per_s")
    outcome = decide(change, margin, TIME)
    assert decide(mirrored, margin, TIME) == opposite.get(outcome, outcome)
    assert decide(change, margin, rate) == opposite.get(outcome, outcome)
    assert (outcome in opposite) == (change.low > margin or change.high < -margin)
    assert decide(change, margin, kind_of("speed").metric("wall_time")) == "none"
