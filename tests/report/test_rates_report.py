"""Learning rates in the report: the best, what missing it costs, and nothing of it in the comparison."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import studies
from builders import section

from polybench.document import Document, Entry, Table
from polybench.record import Record
from polybench.report import answer, rates
from polybench.report.compose import compose
from polybench.report.formats.draw import svg

ALL = "all, on average"
SIDES = ("half the rate", "double the rate")


def noisy(records: list[Record]) -> list[Record]:
    """With relu's losses moved up and down by 0.1 in turns, other ones at each rate and none of it in the mean."""
    moved = []
    for one in records:
        trial, loss = one.trial, one.get("val_loss")
        if loss and trial.cell.activation == "relu":
            turn = (trial.seed + round(math.log2(trial.cell.axis("lr") / 1e-3))) % 3 - 1
            one = replace(one, measurements=(replace(loss, values=(loss.values[0] + 0.1 * turn,)),))
        moved.append(one)
    return moved


def rates_of(records: list[Record]) -> tuple[dict[str, dict[str, Entry]], Table, Table]:
    best, every = section(rates, studies.study(records)).tables
    rows = {row[0].text: {c.name: e for c, e in zip(best.columns, row, strict=True)} for row in best.rows}
    return rows, best, every


def test_the_best_rate_its_loss_and_what_half_and_double_differ_from_it() -> None:
    rows, best, every = rates_of(studies.tuned())
    shared = rows.pop(ALL)
    assert {name: row["best rate"].value for name, row in rows.items()} == studies.BEST
    for row in rows.values():
        assert [row[side].value for side in SIDES] == pytest.approx([0.03, 0.03])
        assert [row[side].outcome for side in SIDES] == ["worse", "worse"]
        assert row["best rate"].text == f"{row['best rate'].value:g}" and row["edge"].text == ""
    assert shared["best rate"].value == 0.004 and shared["half the rate"].value == pytest.approx(0.03)
    assert "none of which is compared" in best.caption
    assert [c.name for c in every.columns[1:]] == ["0.001", "0.002", "0.004", "0.008", "0.016", "0.032"]
    assert [sum(e.best for e in row) for row in every.rows] == [1, 1, 1, 1]
    assert every.rows[0][-1].text == "2 of 2 lost"
    assert any("relu at 0.032" in note and "nan" in note for note in every.notes)


@pytest.mark.parametrize(
    ("grid", "edge", "half"),
    [((4e-3, 8e-3), "lowest tried", "–"), ((1e-3, 2e-3, 4e-3), "highest tried", None), ((4e-3,), "lowest tried", "–")],
)
def test_an_edge_is_told_and_what_was_not_tried_is_a_dash(grid: tuple[float, ...], edge: str, half: str | None) -> None:
    rows, _, _ = rates_of(studies.tuned(rates=grid))
    row = rows["swiglu"]
    assert row["edge"].text == edge
    assert row["half the rate"].text == half or (half is None and row["half the rate"].value is not None)
    assert (row["double the rate"].text == "–") == (max(grid) == 4e-3)


def test_a_rate_that_its_seeds_do_not_tell_from_its_neighbours_is_called_so() -> None:
    rows, _, _ = rates_of(noisy(studies.tuned(seeds=3)))
    told = rows["relu"]
    assert told["best rate"].text == "0.002, not told from 0.001 and 0.004"
    for side in SIDES:
        entry = told[side]
        assert entry.low < 0 < entry.value < entry.high and entry.outcome == "not resolved"
        assert entry.text.count("[") == 1
    assert rows[ALL]["best rate"].value == 4e-3


def test_one_seed_tells_no_rates_apart() -> None:
    rows, best, every = rates_of(studies.tuned(seeds=1))
    assert "One seed tells no rate from another" in best.caption
    assert not any(e.outcome for row in (*best.rows, *every.rows) for e in row)
    assert all("no interval, n 1" in row["half the rate"].text for row in rows.values())
    assert {row["best rate"].text for row in rows.values()} == {"0.002", "0.004", "0.008"}


def test_what_diverges_at_double_the_rate_is_counted() -> None:
    records = [r for r in studies.tuned() if r.trial.cell.axis("lr") in (1e-3, 2e-3)]
    records += [studies.lost("small.tuning", "relu", s, lr=4e-3) for s in (0, 1)]
    rows, _, _ = rates_of(records)
    assert rows["relu"]["double the rate"].text == "2 of 2 lost"
    assert rows["relu"]["edge"].text == ""


def test_an_activation_that_survives_no_rate_has_none() -> None:
    rows, _, _ = rates_of(studies.tuned(rates=(3.2e-2,)))
    assert rows["relu"]["best rate"].text == rows[ALL]["best rate"].text == "none"


def test_the_picture_leaves_out_what_diverged_and_says_so() -> None:
    (figure,) = section(rates, studies.study(studies.tuned())).figures
    assert {s.label: s.x for s in figure.series} == {
        "relu": studies.GRID[:-1], "swiglu": studies.GRID, "polynorm": studies.GRID}  # fmt: skip
    assert figure.logarithmic == "x"
    assert "relu at 0.032" in figure.caption
    picture = svg(figure)
    assert all(f">{rate:.2g}<" in picture for rate in studies.GRID)


@pytest.fixture(scope="module")
def whole() -> Document:
    return compose(studies.everything())


def test_tuning_answers_no_question_and_makes_no_other_table_or_picture(whole: Document) -> None:
    of_tuning = [t.key for t in whole.tables if "tuning" in t.key]
    assert of_tuning == ["small-tuning-rates", "small-tuning"]
    assert [f.key for f in whole.figures if "tuning" in f.key] == ["rates-val-loss-small-tuning"]
    assert not any("tuning" in f.text for f in whole.findings)
    assert len({t.key for t in whole.tables}) == len(whole.tables)
    alone = compose(studies.study(studies.tuned()))
    assert alone.findings == () and len(alone.tables) == 2 and len(alone.figures) == 1


def test_answers_tell_the_own_from_the_shared_rate(whole: Document) -> None:
    for question in ("At equal tokens", "At equal time", "At equal FLOPs"):
        told = [f for f in whole.findings if f.question == question]
        shared, own, sizes = told
        assert "(all at the shared rate" in shared.text and "1 of 8 diverged" in shared.text
        assert "polynorm has" not in shared.text
        assert "polynorm has the lowest held-out loss (each at its own best rate" in own.text and own.resolved
        assert sizes.text.startswith("Of 4 cells of sizes")


def test_a_single_way_to_choose_the_rate_goes_without_saying() -> None:
    one = studies.study(studies.compared(lr="tuned"))
    (told,) = [f for f in section(answer, one).findings if f.question == "At equal tokens"]
    assert "rate" not in told.text


@pytest.mark.parametrize(("seeds", "told"), [(2, "none of which is compared"), (101, "of which 100 are compared too")])
def test_seeds_that_both_tune_and_compare_are_told(seeds: int, told: str) -> None:
    one = studies.study([*studies.tuned(rates=(1e-3,), seeds=seeds), *studies.compared(seeds=3)])
    assert told in section(rates, one).tables[0].caption
