"""Losses by seed: both tests beside every difference, one rule for a verdict, and no verdict where it is open."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
import studies
from builders import across, exact, losses, record, run, section, suite
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench import corrections, stats
from polybench.compare.way import METRICS
from polybench.document import Entry, Table
from polybench.looks import FIRST, over_looks
from polybench.record import Status
from polybench.report import losses as loss_tables
from polybench.report import way
from polybench.report.compose import compose
from polybench.report.section import Section
from polybench.run.store import Run

LAWS = settings(max_examples=40, deadline=None, derandomize=True, database=None)
BASE = [3.0, 3.4, 3.2, 3.1, 3.3]
MARGIN = suite().loss_margin
LOSSES = ("val_loss", "equal_time_loss", "equal_flops_loss")


def by_name(table: Table) -> dict[str, dict[str, Entry]]:
    """Activation -> header -> entry, of a table with one place."""
    return {row[0].text: {c.name: e for c, e in zip(table.columns, row, strict=True)} for row in table.rows}


def shifted(shift: float, noise: float) -> list[float]:
    return [b + shift + noise * math.sin(3 * i) for i, b in enumerate(BASE)]


def inside(differences: list[float]) -> bool:
    estimate = stats.paired(differences)
    return estimate.low >= -MARGIN and estimate.high <= MARGIN


@LAWS
@given(st.floats(-0.2, 0.2) | st.just(0.0), st.floats(1e-3, 0.2), st.floats(-0.2, 0.2), st.floats(1e-3, 0.2))
def test_a_row_holds_what_follows_from_its_paired_differences(a: float, u: float, b: float, v: float) -> None:
    of = {"relu": shifted(a, u), "polynorm": shifted(b, -v)}
    (table,) = section(loss_tables, run(losses({**of, "swiglu": BASE}))).tables
    rows = by_name(table)
    apart = {name: [x - y for x, y in zip(values, BASE, strict=True)] for name, values in of.items()}
    t_holm, flips = (
        dict(zip(apart, corrections.holm([over_looks(test(d), 1) for d in apart.values()]), strict=True))
        for test in (stats.t_test, stats.sign_flip)
    )
    within = [min(1.0, stats.t_within(d, MARGIN) / FIRST) if inside(d) else 1.0 for d in apart.values()]
    same = dict(zip(apart, corrections.holm(within), strict=True))
    for name, d in apart.items():
        row, estimate = rows[name], stats.paired(d)
        less = row["less swiglu's"]
        assert (less.value, less.low, less.high) == (estimate.value, estimate.low, estimate.high)
        assert row["val_loss"].value == statistics.fmean(of[name])
        assert row["sd over seeds"].value == statistics.stdev(of[name])
        assert (row["t p (Holm)"].value, row["sign-flip p (Holm)"].value) == (t_holm[name], flips[name])
        assert (row["n"].text, row["diverged"].text) == ("5", "0 of 5")
        told = estimate.low > 0 or estimate.high < 0
        expected = "better" if less.value < 0 else "worse"
        if not told or t_holm[name] > stats.ALPHA:
            expected = "same" if same[name] <= stats.ALPHA else "not resolved"
        assert less.outcome == expected
        assert bool(row["more seeds"].text) == (expected == "not resolved")
    assert rows["swiglu"]["less swiglu's"].text == "0"


def test_a_verdict_on_a_loss_hangs_on_the_activations_of_its_cell_alone() -> None:
    """One p of 0.04 stands alone, falls beside another activation, and is left alone by other cells."""
    d = [0.12, 0.3, 0.1, 0.32, 0.07]
    assert 0.025 < stats.t_test(d) / FIRST < 0.05
    near = [b + x for b, x in zip(BASE, d, strict=True)]
    dull = [b + x for b, x in zip(BASE, [0.3, -0.2, 0.1, -0.3, 0.05], strict=True)]

    def verdict(*records: Any) -> str:
        found = across(run([r for rs in records for r in rs]), only="val_loss")
        return next(c.outcome for c in found if c.cell.activation == "relu" and c.cell.axis("d_model") == 64)

    alone = losses({"relu": near, "swiglu": BASE})
    elsewhere = losses({"relu": dull, "swiglu": BASE, "polynorm": dull}, d_model=128)
    assert verdict(alone) == "worse"
    assert verdict(alone, elsewhere) == "worse"
    assert verdict(alone, losses({"polynorm": dull})) == "unresolved"


def test_what_a_seed_lost_is_counted_and_told_once() -> None:
    lost = record("pretrain", "relu", seed=5, status=Status.DIVERGED, error="nan at step 7")
    broke = record("pretrain", "relu", seed=6, status=Status.FAILED, error="no disk")
    (table,) = section(loss_tables, run([*losses({"relu": BASE, "swiglu": BASE}), lost, broke])).tables
    assert by_name(table)["relu"]["diverged"].text == "1 of 7, 1 failed"
    assert len(table.notes) == 1 and "nan at step 7" in table.notes[0]


@pytest.mark.parametrize("n", [1, stats.MOST_PAIRS + 1])
def test_too_few_or_too_many_seeds_for_a_test_leave_a_dash(n: int) -> None:
    values = [3 + 0.01 * math.sin(i) for i in range(n)]
    mine = [v + 0.1 for v in values[:-1]] + [values[-1] + 0.11]
    (table,) = section(loss_tables, run(losses({"relu": mine, "swiglu": values}))).tables
    row = by_name(table)["relu"]
    assert row["sign-flip p (Holm)"].text == "–"
    assert (row["t p (Holm)"].text == "–") == (n == 1)
    assert row["more seeds"].text == ("2 at least" if n == 1 else "")


def test_a_run_without_losses_has_no_such_table() -> None:
    one = run(exact({"relu": 1, "swiglu": 2}))
    assert section(loss_tables, one) == section(way, one) == Section()


def test_a_report_tells_each_loss_in_one_table_of_each_benchmark() -> None:
    one = studies.study([*studies.compared(), *studies.compared("large", d_model=128)])
    found = {t.key: t for t in compose(one).tables}
    wanted = {f"{b}-{m.replace('_', '-')}" for b in ("small", "large") for m in LOSSES}
    assert wanted | {"small", "large", "small-way", "large-way"} <= set(found)
    assert not {c.name for c in found["small"].columns} & {*LOSSES, *METRICS}
    assert "bits_per_byte" in {c.name for c in found["small"].columns}
    assert "Holm" in found["small-val-loss"].caption


def ways(of: dict[str, list[float]], seconds: dict[str, float], falls: float = 1.0) -> Run:
    """Losses that fall along straight lines to their ends in ten looks, a second or more each."""
    looks = range(11)
    records = [
        record("pretrain", name, {"val_curve": [5 - (5 - end) * i / 10 for i in looks],
                                  "train_time": [seconds[name] * i for i in looks]},
               seed=s, steps=[10 * i for i in looks], batch=2, seq_len=8, d_model=8)
        for name, ends in of.items()
        for s, end in enumerate(ends)
    ]  # fmt: skip
    return run(records, suite())


def test_the_way_is_the_references_total_over_the_own_one_with_an_interval() -> None:
    """relu falls 1.25 and 1.5 times as far, so it needs that much less; a step costs it twice the time."""
    (table,) = section(way, ways({"swiglu": [4.0, 4.0], "relu": [3.75, 3.5]}, {"swiglu": 1, "relu": 2})).tables
    row = by_name(table)["relu"]
    logs = stats.paired([math.log(1.25), math.log(1.5)])
    tokens, time = row["times sooner in tokens"], row["times sooner in time"]
    assert (tokens.value, tokens.low, tokens.high) == pytest.approx(
        tuple(map(math.exp, (logs.value, logs.low, logs.high)))
    )
    assert time.value == pytest.approx(tokens.value / 2)
    assert row["reached by"].text == "2 of 2"
    assert tokens.outcome == time.outcome == "not resolved"
    assert by_name(table)["swiglu"]["times sooner in tokens"].text == "1"


@pytest.mark.parametrize(("ends", "word"), [([3.5, 3.45, 3.52], "better"), ([4.4, 3.0, 3.9], None)])
def test_a_seed_that_never_gets_there_leaves_no_ratio(ends: list[float], word: str | None) -> None:
    (table,) = section(way, ways({"swiglu": [4.0, 4.0, 4.0], "relu": ends}, {"swiglu": 1, "relu": 1})).tables
    row = by_name(table)["relu"]
    if word:
        assert row["times sooner in tokens"].outcome == word
        assert row["p of tokens (Holm)"].value is not None
    else:
        assert row["times sooner in tokens"].text == "reached by 2 of 3"
        assert row["times sooner in tokens"].value is row["p of tokens (Holm)"].value is None


def test_who_never_gets_there_counts_as_tested() -> None:
    """Else the few that do would be told apart for being few."""
    ends = {"swiglu": [4.0, 4.0, 4.0], "relu": [3.5, 3.45, 3.52]}
    seconds = dict.fromkeys(("swiglu", "relu", "polynorm"), 1.0)
    p = [
        by_name(section(way, ways(of, seconds)).tables[0])["relu"]["p of tokens (Holm)"].value
        for of in (ends, {**ends, "polynorm": [4.4, 4.5, 4.6]})
    ]
    assert p[0] is not None and p[1] == pytest.approx(2 * p[0])
