"""Loss against size: the exponent, the advantage at each size, and whether the advantage grows."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import studies
from builders import section
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.compare.comparisons import Comparisons
from polybench.compare.scaling import Family, Ladder, exponent, ladders, line, trends
from polybench.record import Status
from polybench.report import scaling
from polybench.report.compose import compose
from polybench.report.section import Section
from polybench.stats import paired, t_test

LAWS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SIZES = [2e4, 1e5, 4e5, 2e6]


def of_run(one: Comparisons) -> dict[Family, list[Ladder]]:
    return ladders(one.points(), one.reference)


@LAWS
@given(st.lists(st.integers(20, 50), min_size=3, max_size=6, unique=True))
def test_a_line_has_the_slope_and_interval_of_scipy(tenths: list[int]) -> None:
    from scipy import stats as scipy_stats

    ys = [y / 10 for y in tenths]
    xs = [float(i * i) for i in range(len(ys))]
    oracle = scipy_stats.linregress(xs, ys)
    half = oracle.stderr * scipy_stats.t.ppf(0.975, len(ys) - 2)
    found = line(xs, ys)
    assert found.value == pytest.approx(oracle.slope, abs=1e-12)
    assert found.half_width == pytest.approx(half, rel=1e-6, abs=1e-6)


def test_a_line_needs_two_sizes_and_an_interval_three() -> None:
    assert line([1.0, 2.0], [3.0, 5.0]).value == 2 and not line([1.0, 2.0], [3.0, 5.0]).known
    with pytest.raises(ValueError, match="x is constant"):
        line([1.0, 1.0], [3.0, 5.0])


@LAWS
@given(st.floats(0.01, 0.5), st.floats(1, 20))
def test_a_power_law_gives_back_its_exponent(a: float, c: float) -> None:
    found = exponent(SIZES, [c * n**-a for n in SIZES])
    assert found.value == pytest.approx(a, rel=1e-6)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize("trend", [0.05, -0.03, 0.0])
def test_the_trend_is_what_was_put_in_a_line_a_seed(trend: float) -> None:
    one = Comparisons.of(studies.study(studies.sized(trend=trend)))
    ((_, steps),) = of_run(one).items()
    of = {x.activation: x for x in steps}
    found = list(trends(of["relu"], of["swiglu"]).values())
    estimate = paired(found)
    assert len(found) == 5
    assert estimate.low <= trend <= estimate.high
    assert estimate.half_width < 0.01
    assert (t_test(found) < 0.05) == (trend != 0)


def test_tables_and_picture_hold_every_size_of_every_activation() -> None:
    one = studies.study(studies.sized())
    found = section(scaling, one)
    sizes, law = found.tables
    assert [row[0].text for row in sizes.rows] == [name for name in ("relu", "swiglu", "polynorm") for _ in range(4)]
    assert {row[0].text: row[3].outcome for row in law.rows} == {"relu": "worse", "swiglu": "", "polynorm": "better"}
    assert all(row[2].low < row[2].value < row[2].high for row in law.rows)
    (figure,) = found.figures
    assert figure.logarithmic == "x"
    assert all(s.x == (24576, 98304, 393216, 1572864) and len(s.low) == 4 for s in figure.series)
    keys = [t.key for t in compose(one).tables]
    assert {sizes.key, law.key} < set(keys) and len(keys) == len(set(keys))


def test_fewer_than_three_sizes_are_no_scaling() -> None:
    for records in (studies.sized((32, 64)), studies.compared()):
        one = Comparisons.of(studies.study(records))
        assert of_run(one) == {} and scaling.section(one) == Section()


def test_words_and_lengths_that_do_not_follow_the_size_are_families_of_their_own() -> None:
    def families(records: list[studies.Record]) -> int:
        return len(of_run(Comparisons.of(studies.study(records))))

    def moved(**axes: object) -> list[studies.Record]:
        return [studies.placed(r, "sizes", **axes) for r in studies.sized(seeds=2)]

    assert families([*moved(lr="tuned"), *moved(lr="shared")]) == 2
    assert families([*moved(steps=100), *moved(steps=200)]) == 2
    longer = [studies.placed(r, "sizes", steps=int(r.trial.cell.axis("d_model")) * 10) for r in studies.sized(seeds=2)]
    assert families(longer) == 1


def test_a_seed_that_was_lost_at_one_size_has_no_trend() -> None:
    records = studies.sized()
    at = next(i for i, r in enumerate(records) if r.trial.cell.activation == "relu" and r.trial.seed == 3)
    axes = {k: v for k, v in records[at].trial.cell.axes if k in ("d_model", "layers")}
    records[at] = studies.lost("sizes", "relu", 3, Status.DIVERGED, **axes)
    one = Comparisons.of(studies.study(records))
    ((_, steps),) = of_run(one).items()
    of = {x.activation: x for x in steps}
    assert len(trends(of["relu"], of["swiglu"])) == 4
    assert math.isfinite(exponent(of["relu"].sizes, [3.0, 2.9, 2.8, 2.7]).value)
    sizes, law = scaling.section(one).tables
    assert "diverged" in sizes.notes[0]
    assert [(row[3].outcome, row[4].text) for row in law.rows if row[0].text == "relu"] == [("1 of 5 diverged", "–")]


def endless(records: list[studies.Record], name: str, d_model: int, seeds: range) -> list[studies.Record]:
    """Without any other trace these trainings ended with a loss beyond every number."""
    return [
        replace(r, measurements=tuple(replace(m, values=(math.inf,)) if m.metric == "val_loss" else m
                                      for m in r.measurements))
        if (r.trial.cell.activation, r.trial.cell.axis("d_model")) == (name, d_model) and r.trial.seed in seeds
        else r
        for r in records
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["relu", "swiglu"])
@pytest.mark.parametrize(("count", "word"), [(1, "1 of 5 not finite"), (5, "5 of 5 not finite")])
def test_an_infinite_loss_is_marked_and_all_other_cells_are_shown(name: str, count: int, word: str) -> None:
    found = compose(studies.study(endless(studies.sized(), name, 64, range(count))))
    assert not [note for note in found.notes if "could not be made" in note]
    sizes = next(t for t in found.tables if t.key.startswith("table-sizes"))
    assert len(sizes.rows) == 12 and [row[1].value for row in sizes.rows[:4]] == [24576, 98304, 393216, 1572864]
    lost = {(row[0].text, row[1].value): row[4].outcome for row in sizes.rows if "finite" in row[4].outcome}
    beside = {} if name == "relu" else {(other, 98304): f"swiglu: {word}" for other in ("relu", "polynorm")}
    assert lost == {(name, 98304): word, **beside}
    assert sizes.notes == (f"{name}, 98,304 parameters: {word}",)
    law = next(t for t in found.tables if t.key.startswith("table-exponents"))
    words = {row[0].text: row[3].outcome for row in law.rows}
    told = f"swiglu: {word}"
    assert words == ({"relu": word, "swiglu": "", "polynorm": "better"} if name == "relu" else
                     {"relu": told, "swiglu": "", "polynorm": told})  # fmt: skip


def test_a_size_that_was_wholly_lost_has_a_row_and_what_is_left_of_three_is_shown() -> None:
    records = studies.sized((32, 64, 128))
    records = [
        studies.lost("sizes", "relu", r.trial.seed, Status.DIVERGED, d_model=64, layers=r.trial.cell.axis("layers"))
        if (r.trial.cell.activation, r.trial.cell.axis("d_model")) == ("relu", 64) else r
        for r in records
    ]  # fmt: skip
    sizes, law = section(scaling, studies.study(records)).tables
    assert [tuple(e.text for e in row[1:4]) for row in sizes.rows if row[2].text == "–"] == [("about 98,304", "–", "0")]
    assert [(row[1].text, row[3].outcome) for row in law.rows if row[0].text == "relu"] == [("2", "5 of 5 diverged")]
