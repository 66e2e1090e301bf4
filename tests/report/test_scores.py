"""Scores of a run's models are compared as its losses are: paired by seed, with their looks, Holm and what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from builders import LAWS, losses, run
from builders import section as section_of
from hypothesis import given
from hypothesis import strategies as st

from polybench.compare.claims import judgements
from polybench.compare.comparisons import Comparisons
from polybench.corrections import holm
from polybench.document import Entry, Table
from polybench.looks import over_looks
from polybench.plan.suite import Claim
from polybench.record import Status
from polybench.report import scores, tables
from polybench.run.store import Run
from polybench.score import Score
from polybench.stats import paired, t_test

NAMES = ("relu", "gelu", "swiglu")


def scored(values: dict[str, Sequence[float]], better: Any = "higher", **changes: Any) -> Run:
    """A run whose models scored these on one task, by seed."""
    records = losses({name: [3.0 + i for i in range(len(own))] for name, own in values.items()})
    kept = {
        r.trial.id: (Score("t", "acc", values[r.trial.cell.activation][r.trial.seed], None, 9, better, chance=0.5),)
        for r in records
    }
    return replace(run(records, **changes), scores=kept)


def rows(table: Table) -> dict[str, tuple[Entry, ...]]:
    return {row[1].text: row for row in table.rows}


@LAWS
@given(st.data())
def test_differences_have_the_paired_interval_and_holm_over_their_task(data: st.DataObject) -> None:
    floats = st.lists(st.floats(0, 1), min_size=4, max_size=4)
    values = {name: data.draw(floats) for name in NAMES}
    better = data.draw(st.sampled_from(["higher", "lower"]))
    (table,) = section_of(scores, scored(values, better)).tables
    pairs = {n: [v - b for v, b in zip(values[n], values["swiglu"], strict=True)] for n in ("relu", "gelu")}
    p_values = dict(zip(pairs, holm([over_looks(t_test(d), 1) for d in pairs.values()]), strict=True))
    assert rows(table)["swiglu"][4].text == "0"
    for name, differences in pairs.items():
        (task, _, mean, chance, change, seeds, documents), wanted = rows(table)[name], paired(differences)
        assert (task.text, chance.value, seeds.value, documents.value) == ("t acc", 0.5, 4, 9)
        own = paired(values[name])
        assert (mean.value, mean.low, mean.high) == (own.value, own.low, own.high)
        assert change.value == pytest.approx(wanted.value, abs=1e-12)
        told = p_values[name] < 0.05 and any(differences)
        word = "better" if (wanted.value > 0) == (better == "higher") else "worse"
        assert change.outcome == (word if told else "not resolved")


def test_without_the_reference_or_its_seeds_there_is_no_difference() -> None:
    (table,) = section_of(scores, scored({"relu": [0.1, 0.2], "gelu": [0.3]})).tables
    assert [row[4].text for row in table.rows] == ["–", "–"]
    (table,) = section_of(scores, scored({"relu": [0.1], "swiglu": [0.3, 0.4]})).tables
    assert "[no interval, n 1]" in rows(table)["relu"][4].text and "2 more seeds at least" in table.notes[0]


def test_no_seeds_are_advised_where_both_score_alike() -> None:
    (table,) = section_of(scores, scored({"relu": [0.5, 0.6], "swiglu": [0.5, 0.6]})).tables
    assert rows(table)["relu"][4].outcome == "not resolved" and not table.notes


def test_what_diverged_is_not_judged_and_what_was_asked_otherwise_is_left_out() -> None:
    one = scored({"relu": [0.1, 0.2, 0.3], "swiglu": [0.4, 0.5, 0.7]})
    gone = tuple(
        replace(r, status=Status.DIVERGED) if r.trial.cell.activation == "relu" and r.trial.seed == 0 else r
        for r in one.records
    )
    (table,) = section_of(scores, replace(one, records=gone)).tables
    assert rows(table)["relu"][4].outcome == "1 of 3 diverged" and rows(table)["relu"][5].value == 2
    first = next(iter(one.scores))
    other = {**one.scores, first: tuple(replace(s, data="other") for s in one.scores[first])}
    (table,) = section_of(scores, replace(one, scores=other)).tables
    assert rows(table)["relu"][5].value == 2 and table.notes[0].startswith("Left out: 1 of t acc, asked otherwise")


def test_scores_of_models_that_the_run_did_not_train_are_told_of() -> None:
    one = scored({"relu": [0.1, 0.2], "swiglu": [0.4, 0.5]})
    assert section_of(scores, one).notes == ()
    (note,) = section_of(scores, replace(one, scores={**one.scores, "elsewhere": ()})).notes
    assert note.startswith(f"Left out: the scores of 1 models in {one.path / 'scores.jsonl'} that this run did not")


def test_a_training_that_served_two_cells_has_its_scores_in_both() -> None:
    one = scored({"relu": [0.1, 0.2], "swiglu": [0.4, 0.5]})
    (first, *others) = one.records
    elsewhere = replace(first.trial, cell=replace(first.trial.cell, axes=(*first.trial.cell.axes, ("steps", 7))))
    twin = first.of(elsewhere)
    (table,) = section_of(scores, replace(one, records=(first, twin, *others))).tables
    assert sorted(row[3].text for row in table.rows if row[1].text == "relu")[-1] != "–"
    assert sum(row[3].value is not None for row in table.rows) == 3


def test_no_other_table_tells_them_and_a_run_without_any_says_nothing() -> None:
    one = scored({"relu": [0.1, 0.2], "swiglu": [0.4, 0.5]})
    told = section_of(scores, one).metrics
    assert told == {"t acc"}
    assert not any("t acc" in c.name for t in tables.section(Comparisons.of(one), told).tables for c in t.columns)
    assert section_of(scores, replace(one, scores={})) == scores.Section()


def test_a_claim_about_a_task_is_judged() -> None:
    values = {"relu": [0.1, 0.11, 0.12, 0.13], "swiglu": [0.3, 0.32, 0.31, 0.33]}
    claims = [Claim(metric="t acc", subject="relu", worse_than="swiglu"), Claim(metric="u acc", subject="relu")]
    known, unknown = judgements(Comparisons.of(scored(values)), claims)
    assert (known.ruling, str(known.text)) == ("supported", "t acc: relu < swiglu")
    assert unknown.ruling == "not resolved" and not unknown.cases
