"""A baseline as a folder: what is kept, what may be added, what differs, and what goes."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import hostile
import pytest
from builders import changed, exact, losses, run, save, save_baseline, suite, times
from commands import Capture, call

from polybench.cli import main
from polybench.cli.baseline import existing
from polybench.compare import session_file
from polybench.compare.baseline import Baseline, files, find, load
from polybench.compare.gate import between, exit_code
from polybench.compare.keeping import save as keep
from polybench.errors import NothingMeasured, ResultsError, UsageError
from polybench.machine.environment import nickname
from polybench.record import Record
from polybench.run.store import Run

RULES = [{"metric": "saved_bytes"}, {"metric": "total_time", "tolerance": 0.1}, {"metric": "val_loss"}]
OF = suite(gate=RULES)
OURS = Path("results/baselines/ours")
RECORDS = [*exact({"relu": 100, "swiglu": 300}), *times({"relu": 1.0, "swiglu": 1.5}),
           *losses({"relu": [3.0, 3.1], "swiglu": [2.9, 3.0]})]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)


def session(day: int, records: list[Record] = RECORDS, of: Any = OF, **environment: Any) -> Run:
    one = run(records, of, f"results/toy/{day}", **environment)
    return changed(one, started_at=f"2026-01-{day:02}T09:00:00+00:00")


def test_a_baseline_keeps_what_is_gated_and_reads_back_as_what_it_was() -> None:
    made = keep(session(1), OURS)
    held = load(OURS)
    assert made.session and made.session.name == "2026-01-01T09-00-00.json"
    assert {m.metric for r in held.run.records for m in r.measurements} == {"saved_bytes", "val_loss"}
    (mine,), (whole,) = held.sessions, Baseline.of(session(1)).sessions
    assert {key[2] for key in mine.times} == {"total_time"} and len(mine.times) == 2
    for key, one in mine.times.items():
        assert one.logs == pytest.approx(whole.times[key].logs, abs=1e-6)
        assert one.typical == pytest.approx(whole.times[key].typical, rel=1e-5)
    assert (mine.environment, mine.protocols, mine.code) == (whole.environment, whole.protocols, whole.code)
    text = made.session.read_text(encoding="utf-8")
    assert text.count("\n") < 40 and len(text) < 3000, "small and readable"
    assert json.loads(text)["schema_version"] == session_file.SCHEMA_VERSION


def test_what_hangs_on_no_machine_gates_on_any(tmp_path: Path) -> None:
    """And times of sessions there: each machine has its own."""
    keep(session(1), OURS)
    keep(session(2, cpu="other"), OURS)
    held = load(OURS)
    assert [len(s) for s in held.machines.values()] == [1, 1] and len(held.run.records) == 6
    found = {v.metric.name: v.outcome for v in between(held, session(3, cpu="third"))}
    assert found == {"saved_bytes": "pass", "val_loss": "pass", "total_time": "not comparable"}
    assert exit_code(between(held, session(3, exact({"relu": 101, "swiglu": 300}), cpu="third")))[0] == 1


def test_sessions_of_one_machine_become_one_baseline() -> None:
    for day in range(1, 21):
        keep(session(day, [*RECORDS[:2], *times({"relu": 1 + 0.004 * (day % 2), "swiglu": 1.5})]), OURS)
    assert len(files(OURS)) == 20
    slower = session(25, [*RECORDS[:2], *times({"relu": 1.2, "swiglu": 1.5}), *RECORDS[-4:]])
    found = {v.label: v.outcome for v in between(load(OURS), slower) if v.metric.name == "total_time"}
    assert found == {"speed/relu": "fail", "speed/swiglu": "pass"}


def test_what_is_added_later_stands_beside_what_was_there() -> None:
    keep(session(1, RECORDS[:1], suite(gate=RULES[:1])), OURS)
    more = [{"metric": "peak_bytes"}, *RULES]
    both = [
        replace(r, measurements=(*r.measurements, *exact({"relu": 7}, "peak_bytes")[0].measurements))
        for r in RECORDS[:2]
    ]
    keep(session(2, both, suite(gate=more)), OURS)
    held = load(OURS)
    assert [r.get("saved_bytes").values[0] for r in held.run.records] == [100, 300]  # type: ignore[union-attr]
    assert [r.get("peak_bytes").values[0] for r in held.run.records] == [7, 7]  # type: ignore[union-attr]
    assert [r.metric for r in held.run.suite.gate] == ["peak_bytes", "saved_bytes", "total_time", "val_loss"]


HEAP = [{"name": kind, "kind": kind} for kind in ("memory", "pretrain")]
HEAP += [{"name": "speed", "kind": "speed", "protocol": {"heap": "default"}}]  # type: ignore[dict-item]
REFUSED = {
    "counts once": session(1),
    "is of suite toy, and .* of other": session(2, of=suite(suite="other", gate=RULES)),
    "relu saved_bytes is 101 in .* and 100 in .*--renew": session(2, [*exact({"relu": 101}), *RECORDS[1:]]),
    "protocol heap: None / default": session(2, of=suite(gate=RULES, benchmarks=HEAP)),
    "several machines": session(2, [replace(r, machine=f"{i % 2}") for i, r in enumerate(RECORDS)]),
    "resumed after changes": changed(session(2), forced=["the code"]),
    "has no gate: rules": session(2, of=suite()),
    "is gated": session(2, of=suite(gate=[{"metric": "parameters"}])),
}  # fmt: skip


@pytest.mark.parametrize(("words", "one"), REFUSED.items(), ids=REFUSED)
def test_what_would_spoil_a_baseline_is_refused_and_leaves_it_as_it_was(words: str, one: Run) -> None:
    keep(session(1), OURS)
    before = {p: p.read_bytes() for p in OURS.rglob("*") if p.is_file()}
    with pytest.raises((ResultsError, UsageError, NothingMeasured), match=words):
        keep(one, OURS)
    assert {p: p.read_bytes() for p in OURS.rglob("*") if p.is_file()} == before


def test_a_baseline_is_renewed_with_its_sessions_kept() -> None:
    keep(session(1), OURS)
    keep(session(2, [*exact({"relu": 101, "swiglu": 300}), *RECORDS[2:]]), OURS, renew=True)
    held = load(OURS)
    assert held.run.records[0].get("saved_bytes").values == (101,) and len(held.sessions) == 2  # type: ignore[union-attr]


def test_a_baseline_is_found_by_its_name_before_a_run_of_that_name_is() -> None:
    save(session(1), Path("results/ours/one"))
    assert find("ours") == Path("results/ours/one")
    keep(session(1), OURS)
    assert find("ours") == OURS == find("results/baselines/ours")
    with pytest.raises(ResultsError, match="is no name of a run"):
        find("x" * 5000)
    save(session(1), Path("ours"))
    assert existing("ours") == OURS and existing("./ours") == Path("ours")
    with pytest.raises(ResultsError, match="named by nothing"):
        find("")


def test_the_commands_say_what_is_there_and_take_it_away(capsys: Capture) -> None:
    assert call("baseline", "list") == 0 and "no baseline is kept yet" in capsys.readouterr().out
    save_baseline(session(1), OURS)
    save(
        session(2, [*exact({"relu": 101, "swiglu": 300}), *times({"relu": 1.2, "swiglu": 1.5}), *RECORDS[-4:]]),
        Path("new"),
    )
    assert call("baseline", "save", "new", "--name", "theirs") == 0
    assert "6 records in results/baselines/theirs, and the session" in capsys.readouterr().out
    assert call("baseline", "list") == 0
    assert f"ours: suite toy, 6 records; {nickname(session(1).environment)} 20 sessions" in capsys.readouterr().out
    assert call("baseline", "show", "ours") == 0
    assert "2 of 2 times can be gated, 0 are ungateable" in capsys.readouterr().out
    assert call("baseline", "show", "theirs") == 0
    told = capsys.readouterr().out
    assert "19 more sessions" in told and "2 of 2 times have fewer than 20 sessions" in told
    for other in ("new", "theirs"):
        assert call("baseline", "diff", "ours", other) == 0
        told = capsys.readouterr().out
        assert "memory/relu saved_bytes: 100 -> 101" in told and "speed/relu total_time" in told
        assert "2 of 6 values differ" in told
    assert call("baseline", "diff", "ours", "new", "--json") == 0
    assert sum(one["told"] for one in json.loads(capsys.readouterr().out)) == 2
    assert call("baseline", "drop", "ours", "--session", "2025-12-01T00-00-00") == 0
    assert len(files(OURS)) == 19
    assert call("baseline", "drop", "ours", "--machine", "nobody") == 2
    (OURS / "mine.txt").write_text("mine")
    assert call("baseline", "drop", "ours") == 0
    assert [p.name for p in OURS.iterdir()] == ["mine.txt"]
    assert call("baseline", "drop", "theirs") == 0 and not Path("results/baselines/theirs").exists()


def test_nothing_of_a_run_is_taken_for_a_baseline(capsys: Capture) -> None:
    save(session(1), Path("results/toy/mine"))
    Path("results/toy/mine/traces").mkdir()
    Path("results/toy/mine/traces/2026.json").write_text("{}")
    before = {p: p.read_bytes() for p in Path("results/toy/mine").rglob("*") if p.is_file()}
    save(session(2), Path("new"))
    assert call("baseline", "drop", "results/toy/mine") == 2
    assert "results/toy/mine is a run and no baseline, so nothing of it is removed" in capsys.readouterr().err
    assert call("baseline", "save", "new", "--name", "results/toy/mine") == 2
    assert "take another --name" in capsys.readouterr().err
    assert before == {p: p.read_bytes() for p in Path("results/toy/mine").rglob("*") if p.is_file()}
    assert call("baseline", "save", "new", "--name", "./elsewhere") == 0
    beside = Path("elsewhere/notes/mine.json")
    beside.parent.mkdir()
    beside.write_text("{}")
    header = json.loads(Path("elsewhere/run.json").read_text())
    assert header.pop("baseline")
    Path("elsewhere/run.json").write_text(json.dumps(header))  # as of an older version
    assert call("baseline", "show", "./elsewhere") == 0 == call("baseline", "drop", "./elsewhere")
    assert beside.read_text() == "{}" and not Path("elsewhere/run.json").exists()


EVERY = 61  # a prime, so that the few that are tried are of all fields and ways


def test_no_field_of_a_session_breaks_a_command_whatever_it_holds(capsys: Capture) -> None:
    save_baseline(session(1), OURS)
    save(session(2), Path("new"))
    file = files(OURS)[0]
    sound = json.loads(file.read_text(encoding="utf-8"))
    wrong = [(route, how) for route in hostile.routes(sound) for how in hostile.WRONG][::EVERY]
    assert len(wrong) > 10
    for route, how in wrong:
        data = copy.deepcopy(sound)
        hostile.spoiled(data, route, how)
        file.write_text(json.dumps(data), encoding="utf-8")
        commands = (("gate", "new", "--baseline", "ours"), ("baseline", "diff", "ours", "new"))
        ended = {c[0]: (call(*c), "".join(capsys.readouterr())) for c in commands}
        assert not hostile.faults(ended), (route, how)


def test_a_renewal_by_some_of_the_suite_leaves_the_rest() -> None:
    keep(session(1), OURS)
    part = changed(session(2, exact({"relu": 101, "swiglu": 300})), filter="memory/*")
    keep(part, OURS, renew=True)
    held = load(OURS)
    assert len(held.run.records) == 6 and held.compared.grid.cells
    assert [r.get("saved_bytes").values for r in held.run.records[:2]] == [(101,), (300,)]  # type: ignore[union-attr]


def test_losses_on_another_text_are_no_part_of_a_baseline() -> None:
    text = {"relu": [3.0, 3.1], "swiglu": [2.9, 3.0]}
    keep(session(1, losses(text, facts={"corpus": "a"})), OURS)
    with pytest.raises(ResultsError, match=r"on something else than in .*corpus a / b.*--renew"):
        keep(session(2, losses(text, facts={"corpus": "b"})), OURS)


def test_a_time_that_is_defined_anew_is_no_session_more() -> None:
    keep(session(1), OURS)
    now = session(2)
    metrics = {k: [{**m, "version": m["version"] + (m["name"] == "total_time")} for m in ms]
               for k, ms in now.header["metrics"].items()}  # fmt: skip
    with pytest.raises(ResultsError, match="total_time is defined otherwise in results/toy/2 than in"):
        keep(changed(now, metrics=metrics), OURS)


def test_a_time_without_end_is_no_part_of_a_session() -> None:
    of = suite(gate=[{"metric": "time_to_reference"}, {"metric": "saved_bytes"}])
    made = keep(session(1, [*exact({"relu": 1}), *losses({"relu": [1.0, math.inf]}, "time_to_reference")], of), OURS)
    assert load(OURS).run.records and made.session is None
