"""One polybench measures into a run at a time, and a lock ends with whoever holds it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from builders import MACHINE, exact, run, save, suite
from commands import call

from polybench.cli import main
from polybench.errors import ResultsError
from polybench.run import cluster, local, session, store
from polybench.run.lock import LOCK_FILE, locked, refuse_held
from polybench.run.session import Session

RUN = run(exact({"relu": 1, "swiglu": 2}), suite(benchmarks=[{"name": "memory", "kind": "memory"}]))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "listen", lambda: None)
    monkeypatch.setattr(session, "capture", lambda: MACHINE)


def held(folder: Path) -> bool:
    try:
        with locked(folder):
            return False
    except ResultsError as problem:
        return f"is being measured by process {os.getpid()} on " in str(problem)


def test_a_run_is_locked_until_it_is_released_and_says_by_whom(tmp_path: Path) -> None:
    with locked(tmp_path) as release:
        assert held(tmp_path)
        release()
        assert not held(tmp_path)
        with locked(tmp_path):
            assert held(tmp_path)
        release()
    assert not held(tmp_path)
    assert (tmp_path / LOCK_FILE).read_text() == ""


HOLDS = """
import signal, sys
from pathlib import Path
from polybench.run.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    signal.pause()
"""


def test_the_lock_of_a_dead_process_is_none(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        with pytest.raises(ResultsError, match=f"is being measured by process {other.pid} on .* since 20"):
            locked(tmp_path).__enter__()
        other.send_signal(signal.SIGKILL)
    assert str(other.pid) in (tmp_path / LOCK_FILE).read_text()
    assert not held(tmp_path)


def test_what_others_left_for_a_lock_is_refused_or_not_believed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    for name, make in (
        ("out", lambda file: file.symlink_to(precious)),
        ("in", lambda file: file.symlink_to(file.with_name("run.json"))),
        ("folder", lambda file: file.mkdir()),
        ("pipe", os.mkfifo),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("precious")
        make(tmp_path / name / LOCK_FILE)
        with pytest.raises(ResultsError, match=r"leads out of|cannot be locked"):
            locked(tmp_path / name).__enter__()
        assert (tmp_path / name / "run.json").read_text() == precious.read_text() == "precious"
    for said in ("", "[]", "{}", '{"pid": "x"}', '{"pid": 1}', "\xff", "[" * 2000):
        with locked(tmp_path):
            (tmp_path / LOCK_FILE).write_text(said)
            with pytest.raises(ResultsError, match="is being measured by another process; wait"):
                locked(tmp_path).__enter__()


def test_where_there_are_no_locks_it_is_said_and_gone_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    number = errno.ENOLCK
    with locked(tmp_path) as release:
        release()
    assert "cannot be locked here" in capsys.readouterr().err
    number = errno.EACCES
    with pytest.raises(ResultsError, match="cannot be locked: Permission denied"):
        locked(tmp_path).__enter__()


def test_a_locked_run_is_not_gone_on_with_but_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = save(RUN, tmp_path / "mine")
    with locked(folder):
        before = (folder / store.RECORDS_FILE).read_bytes()
        assert call("run", "--resume", folder) == 2
        assert f"is being measured by process {os.getpid()}" in capsys.readouterr().err
        assert (folder / store.RECORDS_FILE).read_bytes() == before
        assert call("run", "--resume", folder, "--force", "--dry-run") == 0
        assert call("report", folder) == call("merge", folder, "--out", tmp_path / "merged") == 0
        assert not (tmp_path / "merged" / LOCK_FILE).exists()


def test_who_measures_holds_the_lock_of_what_it_measures_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new run, one gone on with, and a part, which needs none on the run it is taken of."""
    mine: list[Path] = []

    def looks(current: Session, *_: object) -> None:
        assert held(current.path)
        mine.append(current.path)

    monkeypatch.setattr(local, "carry_out", looks)
    (tmp_path / "small.yaml").write_text(
        "{suite: small, activations: [relu, gelu], reference: relu, device: cpu, benchmarks: [{name: m, kind: memory}]}"
    )
    assert call("run", "small.yaml", "--out", "new") == 5  # nothing was measured
    assert call("run", "--resume", "new") == 5
    with locked(tmp_path / "new"):
        assert call("run", "--resume", "new", "--shard", "1/2", "--out", "part") == 5
    assert [p.name for p in mine] == ["new", "new", "part"]
    assert not any(map(held, mine))


def test_judge_reads_a_run_that_it_goes_on_with_once_it_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = ("--claim", "saved_bytes: relu < swiglu", "--until-decided")
    folder = save(RUN, tmp_path / "mine", filter=None)
    resumed: list[Path] = []

    def resume(path: Path, *_: object, **__: object) -> Session:
        assert held(path)
        resumed.append(path)
        raise ResultsError("enough")

    monkeypatch.setattr(session, "resume", resume)
    assert call("judge", folder, *claim) == 2
    assert "enough" in capsys.readouterr().err and resumed == [folder]
    with locked(folder):
        assert call("judge", folder, *claim) == 2
    assert "is being measured by process" in capsys.readouterr().err and len(resumed) == 1


def test_a_baseline_is_one_process_s_alone_and_keeps_no_lock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gated = run(RUN.records, suite(benchmarks=[{"name": "memory", "kind": "memory"}], gate=[{"metric": "saved_bytes"}]))
    folder, place = save(gated, tmp_path / "mine"), tmp_path / "kept" / "ours"
    (tmp_path / "timed.yaml").write_text(
        "{suite: timed, activations: [relu, gelu], reference: relu, device: cpu, gate: [{metric: total_time}],"
        " benchmarks: [{name: s, kind: speed}]}"
    )
    place.mkdir(parents=True)
    with locked(place, stays=False):
        for command in (("baseline", "save", folder, "--name", place), ("calibrate", "timed.yaml", "--name", place)):
            assert call(*command) == 2
            assert f"{place} is being measured by process {os.getpid()}" in capsys.readouterr().err
    assert not place.exists() or not list(place.iterdir())
    assert call("baseline", "save", folder, "--name", place) == 0
    assert sorted(p.name for p in place.iterdir()) == ["records.jsonl", "run.json"]
    with locked(place, stays=False):
        assert call("baseline", "drop", place) == 2
    assert call("baseline", "drop", place) == 0 and not place.exists()


def test_a_run_whose_cluster_jobs_still_measure_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save(RUN, tmp_path / "mine")
    part = save(RUN, folder / cluster.FOLDER / "1-1of2")
    refuse_held(part)
    assert not (part / LOCK_FILE).exists()
    with locked(part):
        assert call("run", "--resume", folder) == 2
        assert f"{part} is being measured by" in capsys.readouterr().err
