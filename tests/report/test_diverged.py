"""An activation of which seeds diverged is never better, worse or same, in no table, no answer, no claim, no gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import studies
from builders import changed, losses, record, run, suite

from polybench.compare.gate import between
from polybench.document import Column, Document, Entry
from polybench.kind import kind_of
from polybench.record import Record, Status
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
