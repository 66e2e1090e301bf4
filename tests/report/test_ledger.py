"""The ledger: ten rows whatever was run, each claim of a run in the row that it names, and the paper's own curves."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import changed, losses, run, save, suite
from commands import call

from polybench.document import Document
from polybench.plan.check import load_suite
from polybench.plan.suite import suite_paths
from polybench.record import Status
from polybench.report.ledger import document
from polybench.report.paper import PAPER, ROWS, gaps

BASE = [3.0, 3.4, 3.2, 3.1, 3.3, 3.25]
NEAR = [b - 0.02 + w for b, w in zip(BASE, (0.003, -0.002, 0.001, -0.003, 0.002, -0.001), strict=True)]


def ledger(*claims: dict[str, Any]) -> Document:
    names = ["gelu", "polynorm", "swiglu"]
    records = losses({"gelu": BASE[::-1], "swiglu": BASE, "polynorm": NEAR})
    return document([run(records, suite(activations=names, claims=list(claims)))])


def better(subject: str, source: str, **more: Any) -> dict[str, Any]:
    return {"metric": "val_loss", "subject": subject, "better_than": "swiglu", "source": source, **more}


def column(made: Document, name: str) -> list[str]:
    table = made.tables[1]
    at = [c.name for c in table.columns].index(name)
    return [row[at].text for row in table.rows]


def test_what_was_not_run_has_its_row_and_its_command() -> None:
    made = ledger()
    assert column(made, "verdict") == ["not run"] * len(ROWS) == ["not run"] * 10
    assert all(f.text.endswith(f"polybench run {row.paths[-1]}") for row, f in zip(ROWS, made.findings, strict=True))


def test_a_claim_stands_in_the_row_whose_source_it_names_and_others_below() -> None:
    made = ledger(
        better("polynorm", ROWS[2].source, reported="lower on 11 of 11"), better("gelu", ROWS[2].source),
        better("polynorm", "a notebook"),
    )  # fmt: skip
    verdicts = column(made, "verdict")
    assert (len(verdicts), verdicts[2:4], verdicts.count("not run")) == (11, ["supported", "not resolved"], 9)
    assert column(made, "theirs")[2] == "lower on 11 of 11" and column(made, "theirs")[3] == ROWS[2].reported
    assert "more seeds" in column(made, "what would settle it")[3]
    assert made.tables[1].notes == (
        f"Claim 3: {ROWS[2].beware}", "Of a notebook: val_loss: polynorm < swiglu: supported.",
    )  # fmt: skip
    assert ": 1 supported, 1 not resolved. " in made.findings[2].text and not made.findings[2].resolved


def test_in_ten_lines_the_sentence_that_fails_decides() -> None:
    source = ROWS[2].source
    claims = (better("polynorm", source), {"metric": "val_loss", "subject": "swiglu", "better_than": "polynorm"})
    made = ledger(claims[0], claims[1] | {"source": source}, better("gelu", source))
    lines = [[entry.text for entry in line] for line in made.tables[0].rows]
    assert [line[-1] for line in lines] == [", ".join(row.paths) for row in ROWS]
    assert {line[2] for i, line in enumerate(lines) if i != 2} == {"not run"}
    assert sorted(lines[2][2].split(", ")) == ["1 not resolved", "1 refuted", "1 supported"]
    assert lines[2][3].startswith("val_loss: swiglu < polynorm: +0.02")


def test_a_folder_stands_for_all_runs_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "other"):
        save(run(losses({"swiglu": BASE}), suite(suite=name)), tmp_path / name)
    assert call("report", "--ledger", str(tmp_path), "--format", "markdown") == 0
    assert "found here: one/one, other/other." in capsys.readouterr().out


def test_of_several_cells_those_are_counted_of_which_the_same_is_said() -> None:
    claims = [better("polynorm", ROWS[2].source)]
    here, there = (losses({"swiglu": BASE, "polynorm": BASE[::-1]}, dtype=d) for d in ("float32", "bfloat16"))
    lost = [replace(r, status=Status.DIVERGED) if r is there[-1] else r for r in there]
    made = document([run([*here, *lost], suite(activations=["polynorm", "swiglu"], claims=claims))])
    assert column(made, "verdict")[2] == "1 of 6 diverged in 1 of 2 cells"


def test_what_is_missing_of_a_run_is_said_with_its_name() -> None:
    one = run(losses({"swiglu": BASE, "polynorm": NEAR}), suite(activations=["polynorm", "swiglu"]))
    (note,) = document([changed(one, one.records, planned=len(one.records) + 3)]).notes
    assert note.startswith(f"{one.name}: The run is not complete: 12 of 15 trials")


def test_an_order_has_a_line_a_pair() -> None:
    made = ledger({"metric": "val_loss", "order": ["polynorm", "swiglu", "gelu"], "source": ROWS[0].source})
    assert column(made, "asked here")[:2] == [
        "val_loss: polynorm < swiglu (toy/one)", "val_loss: swiglu < gelu (toy/one)"
    ]  # fmt: skip


def test_the_papers_gaps_are_those_of_its_table() -> None:
    """Means over 245 to 255 of 250 billion tokens, read off the same figure, differ so: the table of its facts."""
    table = {"relu": 0.0257, "gelu": 0.0186, "polyrelu": -0.0122, "polynorm": -0.0190}
    found = {s.label.split(",")[0]: s for s in gaps("dense-1b")}
    assert found.keys() == table.keys()
    for name, gap in table.items():
        near = [y for x, y in zip(found[name].x, found[name].y, strict=True) if 245 <= x * 2.69484 <= 255]
        assert sum(near) / len(near) == pytest.approx(gap, abs=1.5e-3)


def test_every_row_names_the_suites_that_ask_it_and_no_claim_is_without_a_row() -> None:
    asked: dict[str, set[str]] = defaultdict(set)
    for path in (p for p in suite_paths() if p.parent.name == "paper"):
        for claim in load_suite(path).suite.claims:
            asked[claim.source].add(f"paper/{path.stem}")
    ours = {source: suites for source, suites in asked.items() if source.startswith(f"{PAPER} claim")}
    assert ours == {row.source: set(row.suites) for row in ROWS}


def test_a_row_that_one_sentence_refutes_is_decided() -> None:
    source = ROWS[2].source
    worse = {"metric": "val_loss", "subject": "swiglu", "better_than": "polynorm", "source": source}
    made = ledger(better("gelu", source), worse)
    assert "refuted" in made.findings[2].text and "not resolved" in made.findings[2].text and made.findings[2].resolved
