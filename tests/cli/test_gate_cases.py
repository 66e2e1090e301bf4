"""The gate as a build sees it: every way in which it can end, each with its code and a sentence that says why."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import changed, exact, losses, record, run, save, save_baseline, suite, times
from commands import Capture, call

from polybench.cli import calibrate as calibrating
from polybench.cli import main
from polybench.record import Record, Status
from polybench.run import torchrun
from polybench.run.session import Session
from polybench.run.store import Run

RULES = [
    {"metric": "saved_bytes"},
    {"metric": "total_time", "tolerance": 0.05},
    {"metric": "val_loss", "tolerance": 0.02},
]
BYTES, TIMES = {"relu": 100, "swiglu": 300}, {"relu": 1.0, "swiglu": 1.5}
LOSSES = {"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.4, 3.1]}
OF = suite(gate=RULES)


def measured(**changes: Any) -> list[Record]:
    return [*exact({**BYTES, **changes.get("bytes", {})}), *times({**TIMES, **changes.get("times", {})}),
            *losses({**LOSSES, **changes.get("losses", {})}, facts=changes.get("facts"))]  # fmt: skip


GOOD = run(measured(), OF)
OURS = ("--baseline", "ours", "new")


def of(records: Sequence[Record], rules: Any = None, **environment: Any) -> Run:
    return run(records, suite(gate=RULES if rules is None else rules), **environment)


def edited(name: str, old: str, new: str) -> Callable[[], None]:
    """A file of the baseline as somebody edited it by hand."""

    def edit() -> None:
        (path,) = Path("results/baselines/ours").glob(name)
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def spoiled(value: float, metric: str) -> list[Record]:
    return [
        replace(r, measurements=tuple(replace(m, values=(value,)) if m.metric == metric else m for m in r.measurements))
        for r in measured()
    ]


def timed(record: Record, activation: str) -> bool:
    return record.trial.cell.kind == "speed" and record.trial.cell.activation == activation


@dataclass(frozen=True)
class Case:
    """A run `new`, held against the baseline `ours` of 20 sessions, and how that ends."""

    code: int
    words: str
    new: Run = GOOD
    kept: Run = GOOD
    sessions: int = 20
    spread: float = 0.005
    spoil: Callable[[], None] = lambda: None
    options: tuple[str, ...] = OURS


LOST = record("pretrain", "relu", seed=7, status=Status.FAILED, error="because")
ALL_FAILED = [replace(r, status=Status.FAILED, measurements=(), error="because") for r in measured()]
SCHEMA = '"schema_version": 1', '"schema_version": 9'
FIRST = "*/2025-12-01*.json"
CASES = {
    "equal code": Case(0, "gate passed: 6 gated cells"),
    "one byte more": Case(1, "100 became 101", of(measured(bytes={"relu": 101}))),
    "one byte less": Case(0, "1 better than the baseline", of(measured(bytes={"relu": 99}))),
    "a time 15 % slower": Case(1, "beyond the margin of 5.0%", of(measured(times={"relu": 1.15}))),
    "a loss that is worse": Case(1, "nat/token above", of(measured(losses={"relu": [3.1, 3.6, 3.3]}))),
    "a vanished cell": Case(1, "has vanished from the run", of(measured()[1:])),
    "a vanished time": Case(1, "vanished", of([r for r in measured() if not timed(r, "relu")])),
    "a failed trial": Case(3, "because", of([*measured(), LOST])),
    "a failed trial and a byte more": Case(3, "because", of([*measured(bytes={"relu": 101}), LOST])),
    "all cells failed": Case(3, "gate broken", of(ALL_FAILED)),
    "an empty run": Case(5, "nothing was measured in new", of([])),
    "an empty baseline": Case(5, "nothing was measured in", kept=of([])),
    "another machine": Case(4, "processor.cpu: toy / other", of(measured(), cpu="other")),
    "another machine, one byte more": Case(1, "100 became 101", of(measured(bytes={"relu": 101}), cpu="other")),
    "another machine, which fails": Case(
        1, "cannot be judged", of(measured(), cpu="other"), options=(*OURS, "--inconclusive", "fail")
    ),
    "another machine, which passes": Case(
        0, "gate passed", of(measured(), cpu="other"), options=(*OURS, "--inconclusive", "pass")
    ),
    "another corpus": Case(4, "no seed on the same data", of(measured(facts={"corpus": "changed"}))),
    "another suite": Case(2, "is of suite other", kept=run(measured(), suite(suite="other", gate=RULES))),
    "nothing in common": Case(5, "gate compared nothing", of(exact(BYTES), RULES[:1]), of(losses(LOSSES))),
    "too few sessions": Case(4, "13 missing", sessions=7),
    "sessions that differ": Case(4, "(2 ungateable)", spread=0.06),
    "no baseline": Case(2, "there is no run 'theirs'", options=("--baseline", "theirs", "new")),
    "no run": Case(2, "there is no run 'other'", options=("--baseline", "ours", "other")),
    "a run against itself": Case(2, "both the run and the baseline", options=("--baseline", "new", "new")),
    "no rules": Case(2, "has no gate: rules", of(measured(), [])),
    "a rule that matches nothing": Case(
        5, "matches no cell", of(measured(), [{"metric": "saved_bytes", "where": {"activation": "gelu"}}])
    ),
    "contradictory rules": Case(
        2, "later gate rules take every cell", of(measured(), [{"metric": "saved_bytes", "tolerance": 0.5}, *RULES])
    ),
    "a newer schema": Case(2, "has schema 9", spoil=edited("run.json", *SCHEMA)),
    "a session of a newer schema": Case(2, "has schema 9", spoil=edited(FIRST, *SCHEMA)),
    "a header cut short": Case(2, "is damaged: it is not JSON", spoil=edited("run.json", "}\n", "")),
    "a session cut short": Case(2, "is damaged: it is not JSON", spoil=edited(FIRST, "]\n}\n", "")),
    "a time edited by hand": Case(2, ".json:", spoil=edited(FIRST, '"typical": 0', '"typical": -0')),
    "a word for a time": Case(2, "should be a valid number", spoil=edited(FIRST, '"logs": [', '"logs": ["fast", ')),
    "a time that is no number": Case(2, "is damaged", spoil=edited(FIRST, '"logs": [', '"logs": [NaN, ')),
    "a record edited by hand": Case(2, "no record", spoil=edited("records.jsonl", '"values":[100', '"values":[x')),
    "a byte count that is no number": Case(4, "baseline is nan", kept=of(spoiled(float("nan"), "saved_bytes"))),
    "a run with no number": Case(3, "one of its values is nan", of(spoiled(float("nan"), "saved_bytes"))),
    "a loss that is infinite": Case(3, "one of its values is inf", of(spoiled(float("inf"), "val_loss"))),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_gate_ends_with_its_code_and_one_sentence_that_says_why(case: Case, capsys: Capture) -> None:
    save_baseline(case.kept, Path("results/baselines/ours"), case.sessions, case.spread)
    save(case.new, Path("new"))
    case.spoil()
    assert call("gate", *case.options) == case.code
    out, err = capsys.readouterr()
    last = (out + err).strip().splitlines()[-1]
    assert case.words in last and "Traceback" not in out + err
    assert not out if case.code in (2, 5) and "compared nothing" not in last else out
    assert call("gate", *case.options, "--json") == case.code
    if out:
        told = json.loads(capsys.readouterr().out)
        assert told["exit_code"] == case.code and case.words in told["reason"]


def test_every_code_of_the_page_is_in_the_table() -> None:
    """But for 130, which is that of a calibration that was interrupted, below."""
    assert {case.code for case in CASES.values()} == {0, 1, 2, 3, 4, 5}


def test_a_full_disk_leaves_the_baseline_as_it_was(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    save_baseline(GOOD, Path("results/baselines/ours"))
    before = {p: p.read_bytes() for p in Path("results").rglob("*") if p.is_file()}
    save(changed(GOOD, started_at="2026-02-02"), Path("new"))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert call("baseline", "save", "new", "--name", "ours") == 2
    assert "cannot be written: No space left on device" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in Path("results").rglob("*") if p.is_file()} == before


def test_contradictory_rules_are_found_before_anything_is_measured_with_both_lines(capsys: Capture) -> None:
    data = OF.model_dump(mode="json", exclude_defaults=True)
    data["gate"] = [{"metric": "saved_bytes", "where": {"activation": "relu"}}, {"metric": "saved_bytes"},
                    {"metric": "total_time", "where": {"activation": "relu", "benchmark": "memory"}}]  # fmt: skip
    path = Path("toy.yaml")
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    lines = path.read_text(encoding="utf-8").splitlines()
    first, second, third = (i for i, line in enumerate(lines, 1) if line.startswith("- metric"))
    for command in ("validate", "plan", "calibrate"):
        assert call(command, path) == 2
        told = capsys.readouterr().err.strip().splitlines()
        assert len(told) == 2
        assert told[0].startswith(f"toy.yaml:{first}:") and f"the rule at toy.yaml:{second} takes every cell" in told[0]
        assert told[1].startswith(f"toy.yaml:{third}:") and "no cell of this suite matches this rule" in told[1]


def test_a_calibration_adds_sessions_until_there_are_enough_and_goes_on_after_a_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    Path("toy.yaml").write_text(yaml.safe_dump(OF.model_dump(mode="json", exclude_defaults=True)), encoding="utf-8")
    asked: list[list[str]] = []

    def session(of: Any, source: str, quiet: bool, out: Path | None = None) -> Run:
        asked.append([b.name for b in of.benchmarks])
        assert (out is None) == (len(asked) == 1), "one whole run is kept"
        if len(asked) == 8:
            raise KeyboardInterrupt
        number = len(asked)
        records = measured(times={"relu": 1 + 0.002 * (number % 3)})
        return changed(run(records, OF, f"results/toy/{number}"), started_at=f"2026-01-{number:02}")

    monkeypatch.setattr(calibrating, "measured", session)
    monkeypatch.setattr("polybench.machine.environment.capture", lambda: GOOD.environment)
    assert call("calibrate", "toy.yaml", "--name", "toy", "-s", "margin=0.03") == 130
    told = capsys.readouterr().err
    assert "7 sessions are kept in results/baselines/toy; go on with: polybench calibrate toy.yaml" in told
    assert "--name toy -s margin=0.03" in told
    assert asked[0] == ["speed", "memory", "pretrain"] and {*map(tuple, asked[1:])} == {("speed",)}
    assert call("calibrate", "toy.yaml") == 0
    out = capsys.readouterr().out
    assert len(asked) == 21 and len(list(Path("results/baselines/toy").glob("*/*.json"))) == 20
    assert "2 of 2 times can be gated, 0 are ungateable" in out
    assert call("gate", "--baseline", "toy", "--self-check", "0") == 0
    assert "0 of 20 gates of equal code failed [0.0%, 13.9%]; of 40 cells 0 failed" in capsys.readouterr().out
    assert call("calibrate", "toy.yaml", "--json") == 0 and len(asked) == 21
    (found,) = json.loads(capsys.readouterr().out)["times"].values()
    assert [one["bounds"]["gateable"] for one in found] == [True, True]


def test_a_session_is_measured_by_as_many_processes_as_the_suite_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def carry_out(current: Session, *_: object) -> None:
        asked.append(current.header["processes"])
        raise KeyboardInterrupt

    monkeypatch.setattr(torchrun, "carry_out", carry_out)
    with pytest.raises(KeyboardInterrupt):
        calibrating.measured(suite(launcher="torchrun", processes=2), "", True, tmp_path / "run")
    assert asked == [2]
