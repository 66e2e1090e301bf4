"""scipy is the oracle of every formula; laws hold what it has no word for."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from polybench import stats
from polybench.stats import Estimate

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
NUMBERS = st.floats(-1e3, 1e3).map(lambda x: round(x, 6))
SAMPLES = st.lists(NUMBERS, min_size=1, max_size=30)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


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
