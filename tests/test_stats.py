"""scipy is the oracle of every formula; laws hold what it has no word for."""

from __future__ import annotations

import math
import random
import statistics
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from polybench import corrections, medians, stats, stopping
from polybench.looks import share
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


def test_a_corrected_p_resolves_up_to_and_at_the_border() -> None:
    border = stats.ALPHA
    assert [corrections.resolves(p) for p in (0.0, border, math.nextafter(border, 1), None)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("n", [2, 4, 8])
def test_differences_without_spread_say_no_more_than_their_signs(n: int) -> None:
    for equal in ([0.5] * n, [3.1 - 3.0, 4.1 - 4.0] * n):
        assert stats.t_test(equal) == stats.t_within(equal, 0.6) == stats.sign_flip(equal) == 2.0 ** (1 - len(equal))
        more = stopping.more_seeds(equal, tests=4)
        assert more and stats.least_p(len(equal) + more.count) * 4 <= stats.ALPHA
    assert stats.t_within([0.5] * n, 0.4) == 1.0
    assert (stats.t_test([0.0] * n), stats.t_within([0.0] * n, 0.4), stats.t_test([0.5])) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize("n", [2, 5, 8, 10])
def test_sign_flip_is_scipys_exact_permutation_test(n: int) -> None:
    differences = draws(n, n)
    oracle = scipy_stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert stats.sign_flip(differences) == pytest.approx(oracle.pvalue)


def test_the_least_p_of_sign_flip_is_two_to_the_one_minus_n() -> None:
    assert [stats.sign_flip([0.1] * n) for n in (1, 5, 6, 8, 29)] == [1.0, 0.0625, 0.03125, 0.0078125, 2.0**-28]
    with pytest.raises(ValueError, match="41 pairs are too many"):
        stats.sign_flip([1.0] * 41)


@pytest.mark.parametrize("seed", range(20))
def test_sign_flip_counts_every_pattern_that_is_as_far_from_zero(seed: int) -> None:
    draw = random.Random(seed)
    differences = [draw.choice((-0.2, -0.1, 0.0, 0.1, 0.3)) for _ in range(1 + seed % 9)]  # sums are often equal
    sums = [sum(s * round(10 * d) for s, d in zip(signs, differences, strict=True))
            for signs in product((1, -1), repeat=len(differences))]  # fmt: skip
    assert stats.sign_flip(differences) == sum(abs(one) >= abs(sums[0]) for one in sums) / len(sums)


@pytest.mark.parametrize("n", [8, 9, 20, 21, 80, 500])
@pytest.mark.parametrize("confidence", [0.9, 0.98])
def test_the_interval_of_a_median_is_scipys(n: int, confidence: float) -> None:
    values = draws(n, n)
    oracle = scipy_stats.quantile_test(values, q=0, p=0.5).confidence_interval(confidence)
    assert medians.median_interval(values, confidence) == (oracle.low, oracle.high)


@pytest.mark.parametrize("n", [*range(1, 30), 1073, 1074, 1100, 4000])
def test_the_interval_of_a_median_is_the_narrowest_that_keeps_its_promise(n: int) -> None:
    """Ranks instead of values, so that the binomial distribution itself is the oracle."""
    low, high = medians.median_interval(range(n), 0.98)
    if math.isinf(low):
        assert 2 * 0.5**n > 0.02
        return
    assert low + high == n - 1
    assert 2 * scipy_stats.binom.cdf(low, n, 0.5) <= 0.02 + 1e-12
    assert 2 * scipy_stats.binom.cdf(low + 1, n, 0.5) > 0.02


@LAWS
@given(P_VALUES)
def test_holm_is_its_definition(p_values: list[float]) -> None:
    found, m = corrections.holm(p_values), len(p_values)
    ordered = sorted(p_values)
    for p, adjusted in zip(p_values, found, strict=True):
        up_to = [min(1.0, (m - j) * q) for j, q in enumerate(ordered) if q <= p]
        assert adjusted == max(up_to)
        assert p <= adjusted <= 1


@LAWS
@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=6))
def test_holm_of_names_is_holm(p_values: dict[str, float]) -> None:
    found = corrections.holm_of(p_values)
    assert list(found) == list(p_values) and list(found.values()) == corrections.holm(list(p_values.values()))


@LAWS
@given(P_VALUES, st.randoms(use_true_random=False))
def test_holm_does_not_hang_on_the_order(p_values: list[float], random: object) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    found = corrections.holm(p_values)
    assert corrections.holm([p_values[i] for i in order]) == [found[i] for i in order]


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
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.integers(1, 6), st.sampled_from([0.0, 0.3]))
def test_so_many_more_seeds_have_the_power_and_one_fewer_does_not(
    differences: list[float], tests: int, margin: float
) -> None:
    """By scipy's noncentral t, at the level of a second look and of the strictest step of Holm."""
    n, mean, spread = len(differences), abs(statistics.fmean(differences)), statistics.stdev(differences)
    assume(spread > 0.1)

    def power(total: int, same: bool) -> float:
        own = stats.ALPHA / tests * share(2) / (1 if same else 2)
        critical = scipy_stats.t.ppf(1 - min(own, 0.025), total - 1)

        def beyond(distance: float) -> float:
            return float(scipy_stats.nct.sf(critical, total - 1, distance / spread * math.sqrt(total)))

        return beyond(margin - mean) + beyond(margin + mean) - 1 if same else beyond(mean)

    more, ways = stopping.more_seeds(differences, tests, margin), (False, True)[: 2 if margin else 1]
    if more is None:
        assert all(power(stopping.MOST_SEEDS, same) < stopping.POWER + 1e-6 for same in ways)
    else:
        assert power(n + more.count, more.same) > stopping.POWER - 1e-6
        assert more.count == 1 or all(power(n + more.count - 1, same) < stopping.POWER + 1e-6 for same in ways)


@LAWS
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(0.01, 1))
def test_two_one_sided_tests_are_scipys(differences: list[float], margin: float) -> None:
    assume(statistics.stdev(differences) > 1e-3)
    above = scipy_stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = scipy_stats.ttest_1samp(differences, margin, alternative="less").pvalue
    assert stats.t_within(differences, margin) == pytest.approx(max(above, below), abs=1e-9)


@LAWS
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_benjamini_hochberg_is_scipys_and_never_stricter_than_holm(p_values: list[float]) -> None:
    from scipy.stats import false_discovery_control

    adjusted = corrections.benjamini_hochberg(p_values)
    assert adjusted == pytest.approx(list(false_discovery_control(p_values)), abs=1e-12)
    assert all(
        p <= q + 1e-12 and q <= h + 1e-12
        for p, q, h in zip(p_values, adjusted, corrections.holm(p_values), strict=True)
    )


@pytest.mark.parametrize(("hits", "trials"), [(0, 59), (0, 299), (1, 20), (7, 9), (12, 12), (0, 0)])
def test_exact_bounds_of_a_share_are_scipys(hits: int, trials: int) -> None:
    from scipy.stats import binomtest

    low, high = stats.clopper_pearson(hits, trials)
    if trials == 0:
        assert (low, high) == (0, 1)
    elif hits in (0, trials):
        side = binomtest(hits, trials, alternative="less" if hits == 0 else "greater").proportion_ci(0.95, "exact")
        assert (low, high) == pytest.approx((side.low, side.high))
    else:
        both = binomtest(hits, trials).proportion_ci(0.95, "exact")
        assert (low, high) == pytest.approx((both.low, both.high))


def test_nothing_of_59_is_at_most_five_per_cent() -> None:
    assert stats.clopper_pearson(0, 59)[1] <= 0.05 < stats.clopper_pearson(0, 58)[1]
    assert stats.clopper_pearson(0, 299)[1] <= 0.01 < stats.clopper_pearson(0, 298)[1]


LAUNCHES = st.lists(st.lists(st.floats(-0.2, 0.2), min_size=8, max_size=20), min_size=1, max_size=6)


@LAWS
@given(LAUNCHES, st.floats(0, 0.1), st.floats(0.5, 0.999))
def test_a_p_value_never_contradicts_its_interval(launches: list[list[float]], margin: float, level: float) -> None:
    p = stats.p_beyond(lambda confidence: stats.of_launches(launches, confidence), margin)
    found = stats.of_launches(launches, level)
    beyond = found.low > margin or found.high < -margin
    assert 0 < p <= 1
    assert beyond <= (p <= (1 - level) * 1.02)  # bisected to one per cent


def test_the_p_value_of_paired_differences_is_that_of_the_t_test() -> None:
    differences = [0.1, 0.3, -0.05, 0.2, 0.15]
    found = stats.p_beyond(lambda confidence: stats.paired(differences, confidence), 0.0)
    assert found == pytest.approx(stats.t_test(differences), rel=0.02)


@pytest.mark.parametrize("value", [0.06, 0.0, 0.01])
def test_so_many_more_launches_settle_it_in_eight_of_ten(value: float) -> None:
    margin, sd, generator = math.log1p(0.03), 0.03, np.random.default_rng(3)
    shape = np.linspace(-1.0, 1.0, 8)
    few = [[value + sd * z] for z in shape / shape.std(ddof=1)]
    more = stopping.more_launches(few, margin)
    assert more is not None
    settled = []
    for _ in range(200):
        found = stats.of_launches([[value + sd * z] for z in generator.normal(size=len(few) + more)])
        settled.append(found.low > margin or (found.low > -margin and found.high < margin))
    assert 0.7 <= statistics.fmean(settled) <= 0.97
    assert (stopping.more_launches(few, margin, power=0.5) or 0) < more


def test_at_the_margin_itself_no_number_of_launches_settles_it() -> None:
    margin = math.log1p(0.03)
    assert stopping.more_launches([[margin - 0.01], [margin + 0.01]], margin) is None


def test_the_excess_of_launches_is_about_one_where_they_agree() -> None:
    generator = np.random.default_rng(5)
    equal = generator.normal(size=(40, 3, 60)).tolist()
    assert stats.launch_excess(equal) == pytest.approx(1.0, abs=0.35)
    moved = (generator.normal(size=(40, 3, 60)) + generator.normal(size=(40, 3, 1))).tolist()
    assert (stats.launch_excess(moved) or 0) > 10
    assert stats.launch_excess([]) is stats.launch_excess([[[1.0] * 20]]) is None
