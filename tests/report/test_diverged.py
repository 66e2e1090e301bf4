"""An activation of which seeds diverged is never better, worse or same, in no table, no answer, no claim, no gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import studies
from builders import changed, losses, record, run, section, suite

from polybench.compare.gate import between
from polybench.document import Column, Document, Entry
from polybench.kind import kind_of
from polybench.record import Record, Status
from polybench.report import answer, claims
from polybench.report import losses as section_of_losses
from polybench.report.compose import compose
from polybench.run.store import Run

VERDICTS = {"better", "worse", "same", "faster", "slower", "not resolved", "inconclusive"}
CLAIMS = [
    {"metric": "val_loss", "subject": a, "better_than": b}
    for a, b in (("polynorm", "swiglu"), ("polynorm", "relu"), ("swiglu", "polynorm"))
]
EXACT = {m.name for m in kind_of("pretrain").metrics if m.varies_with == "nothing"}


def losing(name: str) -> Run:
    """All that a study has, where three of eight seeds of one activation diverged: its others are far ahead."""

    def maybe(one: Record) -> Record:
        trial = one.trial
        if trial.cell.activation == name and trial.seed % 100 in (1, 4, 6) and not trial.benchmark.endswith("tuning"):
            return replace(one, status=Status.DIVERGED, measurements=(), error="the loss became nan")
        return one

    records = [*studies.compared(), *studies.sized((32, 64, 128), seeds=8)]
    return studies.study([maybe(r) for r in records], claims=CLAIMS)


def fields(document: Document) -> Iterator[tuple[str, Column, Entry]]:
    """(activation, column, entry) of every table with a row an activation, but for what is counted exactly."""
    for table in document.tables:
        for row in table.rows:
            for column, entry in zip(table.columns, row, strict=True):
                if not any(name in column.name for name in EXACT) and "peak of a training step" not in column.name:
                    yield row[0].text, column, entry


@pytest.fixture(scope="module")
def own() -> Document:
    return compose(losing("polynorm"))


def test_no_table_says_a_verdict_in_the_row_of_what_diverged(own: Document) -> None:
    rows = [(c.name, e) for who, c, e in fields(own) if who == "polynorm"]
    assert not [(name, e.shown) for name, e in rows if e.outcome in VERDICTS or e.best]
    marked = {name for name, e in rows if e.outcome == "3 of 8 diverged"}
    assert {"less swiglu's", "held-out loss", "tokens_per_s over swiglu's", "trend of the difference"} <= marked
    assert {e.text for name, e in rows if name == "reached by"} == {"5 of 8"}
    assert any(e.outcome in VERDICTS for who, _, e in fields(own) if who == "relu")  # others are judged


def test_no_one_is_judged_beside_a_reference_that_diverged() -> None:
    document = compose(losing("swiglu"))
    assert not [(who, c.name, e.shown) for who, c, e in fields(document) if e.outcome in VERDICTS or e.best]
    assert {"3 of 8 diverged", "swiglu: 3 of 8 diverged"} == {e.outcome for *_, e in fields(document) if e.outcome}


def test_the_answer_and_the_claims_do_not_speak_for_it(own: Document) -> None:
    told = [f.text for f in own.findings if f.question.startswith("At equal")]
    assert told and not any(text.startswith("polynorm") for text in told)
    assert any("3 of 8 diverged" in text for text in told)
    claims = [f for f in own.findings if f.question == "Claim"]
    assert [f.resolved for f in claims] == [False] * 3
    assert all("3 of 8 diverged" in f.text and "Holm" not in f.text for f in claims)


def test_the_gate_passes_nothing_of_which_seeds_diverged() -> None:
    records = losses({"relu": [3.0, 3.1, 3.2], "swiglu": [3.0, 3.1, 3.2]})
    lost = record("pretrain", "relu", seed=3, status=Status.DIVERGED, error="the loss became nan")
    one = run([*records, lost], suite(gate=[{"metric": "val_loss", "tolerance": 0.5}]))
    found = {v.label.split("/")[1]: v for v in between(one, one)}
    assert (found["relu"].outcome, found["swiglu"].outcome) == ("inconclusive", "pass")
    assert found["relu"].reason.startswith("1 of 4 diverged")
    whole = changed(one, [*records, record("pretrain", "relu", {"val_loss": [3.3]}, seed=3)])
    assert {v.outcome for v in between(one, whole) if "relu" in v.label} == {"pass"}


def test_who_lost_seeds_to_divergence_is_ahead_of_nobody() -> None:
    """Not where the others lost seeds otherwise, nor where all others diverged too, in one cell or in many."""
    others = {"swiglu": [3.1, 3.11, 3.09], "relu": [2.0, 2.01, 1.99]}

    def of(lost: dict[str, Status], d_model: int = 64) -> list[Record]:
        return [
            replace(r, status=lost[name], measurements=(), error="x") if (name := r.trial.cell.activation) in lost
            and not r.trial.seed else r for r in losses(others, d_model=d_model)
        ]  # fmt: skip

    for lost in ({"relu": Status.DIVERGED, "swiglu": Status.OUT_OF_MEMORY}, {"relu": Status.DIVERGED}):
        (found,) = section(answer, run(of(lost))).findings
        assert "ahead" not in found.text and not found.resolved
    many = [r for i in range(1, 7) for r in of({"relu": Status.DIVERGED}, 64 * i)]
    (found,) = section(answer, run(many)).findings
    assert found.text == "Of 6 cells of pretrain: not resolved in 6." and not found.resolved


def test_a_refuted_claim_is_so_beside_a_cell_that_diverged_and_each_cell_is_noted() -> None:
    worse = {"swiglu": [3.0 + 0.01 * i for i in range(6)], "relu": [3.5 + 0.011 * i for i in range(6)]}
    lost = [
        replace(r, status=Status.DIVERGED, measurements=(), error="at 64") if not r.trial.seed
        and r.trial.cell.activation == "relu" else r for r in losses(worse, d_model=64)
    ]  # fmt: skip
    claim = {"metric": "val_loss", "subject": "relu", "better_than": "swiglu"}
    one = run([*lost, *losses(worse, d_model=128)], suite(claims=[claim]))
    (found,) = section(claims, one).findings
    assert ": refuted (+0.5" in found.text and "relu 1 of 6 diverged" in found.text and found.resolved
    twice = [*lost, *(replace(r, error="at 128") for r in losses(worse, d_model=128, status=Status.DIVERGED))]
    (table, *_) = section(section_of_losses, run(twice)).tables
    assert {n.partition(":")[0] for n in table.notes} >= {"relu (d_model 64)", "relu (d_model 128)"}
