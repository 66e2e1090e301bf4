"""Several processes do one job: all have it at once, and whoever fails is named."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toy_kind
from builders import MACHINE, suite

from polybench.errors import ResultsError, UsageError
from polybench.message import Ending, Message
from polybench.ranks import Place, place
from polybench.record import Measurement, Record, Status
from polybench.run import session, torchrun
from polybench.run.executor import Executor
from polybench.run.runner import records_of
from polybench.run.store import load
from polybench.run.team import Together, divided, serve
from polybench.trial import RENDEZVOUS, Cell, Job, Trial

VALUE = Message(0, Measurement("m", (1.0,)))
WRONG, PLANTED = (Message(0, Ending(Status.FAILED, why)) for why in ("connection closed by peer", "planted"))
DIVERGED = Message(0, Ending(Status.DIVERGED, "nan"))


def job(name: str = "relu", kind: str = "pretrain") -> Job:
    return Job((Trial("b", Cell(kind, 1, name, "eager", "cpu", "float32", ()), 3),), (("a", 1),), timeout_s=7.0)


class Fake:
    """Sends its messages and ends; `waits` until it is stopped, as for a process that never comes."""

    def __init__(self, messages: Sequence[Message] = (), ending: Ending | None = None, waits: bool = False):
        self.messages, self.ending, self.stopped = messages, ending or Ending(), threading.Event()
        self.waits = waits
        self.jobs: list[Job] = []

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        self.jobs.append(job)
        for message in self.messages:
            on_message(message)
        if self.waits:
            self.stopped.wait()
            return Ending(Status.FAILED, "stopped")
        return self.ending

    def stop(self) -> None:
        self.stopped.set()


@contextmanager
def team(first: Fake, *others: Fake) -> Iterator[Executor]:
    """An executor of rank 0 with its other processes in threads."""
    pipes = [Pipe() for _ in others]
    threads = [
        threading.Thread(target=serve, args=(theirs, lambda other=other: other))
        for (_, theirs), other in zip(pipes, others, strict=True)
    ]
    for thread in threads:
        thread.start()
    yield Together([ours for ours, _ in pipes], lambda: first, grace_s=0.01)
    for ours, _ in pipes:
        ours.close()
    for thread in threads:
        thread.join()


def carried(first: Fake, *others: Fake) -> Record:
    with team(first, *others) as executor:
        (record,) = records_of(job(), executor)
    return record


def test_every_process_has_the_job_as_it_is_and_one_meeting_point() -> None:
    fakes = [Fake([VALUE]), Fake([VALUE]), Fake([VALUE])]
    assert carried(*fakes).status is Status.OK
    jobs = [j for fake in fakes for j in fake.jobs]
    assert jobs[0] == jobs[1] == jobs[2]
    assert replace(jobs[0], environment=()) == job()
    assert dict(jobs[0].environment)[RENDEZVOUS].startswith(jobs[0].trials[0].id)
    assert all(fake.stopped.is_set() for fake in fakes)  # nothing of it is left for the next job


LOST = Ending(Status.OUT_OF_MEMORY, "killed")
ENDINGS = [
    ("one raises, rank 0 hears its line close", [Fake([VALUE, WRONG]), Fake([PLANTED])],
     Status.FAILED, "connection closed by peer (rank 1: planted)"),
    ("one raises before they meet", [Fake(waits=True), Fake([PLANTED])],
     Status.FAILED, "stopped (rank 1: planted)"),
    ("one dies at the very end", [Fake([VALUE]), Fake([VALUE]), Fake(ending=LOST)], Status.FAILED, "rank 2: killed"),
    ("all diverge", [Fake([DIVERGED]), Fake([DIVERGED])], Status.DIVERGED, "nan"),
    ("rank 0 raises before they meet", [Fake([WRONG]), Fake(waits=True)], Status.FAILED, "(rank 1: stopped)"),
    ("rank 0 is late", [Fake(ending=Ending(Status.TIMED_OUT, "late")), Fake(waits=True)], Status.TIMED_OUT, "late"),
]  # fmt: skip


@pytest.mark.parametrize(("fakes", "status", "words"), [e[1:] for e in ENDINGS], ids=[e[0] for e in ENDINGS])
def test_whoever_fails_is_named_and_holds_nobody_up(fakes: list[Fake], status: Status, words: str) -> None:
    record = carried(*fakes)
    assert (record.status, words in record.error) == (status, True), record.error


def test_after_a_failure_the_next_job_is_done_by_all() -> None:
    first, other = Fake([VALUE]), Fake([PLANTED])
    with team(first, other) as executor:
        assert records_of(job(), executor)[0].status is Status.FAILED
        other.messages = [VALUE]
        assert records_of(job("gelu"), executor)[0].status is Status.OK
    assert [j.trials[0].cell.activation for j in other.jobs] == ["relu", "gelu"]


def test_a_process_that_is_gone_fails_the_job() -> None:
    ours, theirs = Pipe()
    theirs.close()
    (record,) = records_of(job(), Together([ours], lambda: Fake([VALUE])))
    assert (record.status, record.error) == (Status.FAILED, "rank 1: its process is gone")


def test_torchrun_s_variables_say_which_process_this_is() -> None:
    told = {"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost"}
    assert place(told) == Place(1, 4) and not place(told).leads
    for broken in ({}, {"RANK": "1"}, {**told, "RANK": "x"}, {"RANK": "1", "WORLD_SIZE": "4"}):
        assert place(broken) == Place() and place(broken).leads
    kinds = ("pretrain", "loss_curve", "memory", "speed", "accuracy", "approximation", "vision")
    assert [divided(job(kind=k)) for k in kinds] == [True, True, *[False] * 5]


SUITE = """
suite: team
activations: [relu]
reference: relu
device: cpu
seeds: [1, 2]
launcher: torchrun
processes: 2
benchmarks:
  - {name: toy, kind: toy, matrix: {fails: 1/1}}
  - {name: once, kind: toy_once}
"""


def test_a_suite_starts_two_processes_that_have_each_job_and_one_voice(tmp_path: Path) -> None:
    variables = toy_kind.install(tmp_path)
    (tmp_path / "team.yaml").write_text(SUITE)
    command = [sys.executable, "-m", "polybench", "run", "team.yaml", "--out", "run"]
    ran = subprocess.run(command, cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True)
    assert ran.returncode == 3, ran.stderr  # of polybench: a trial failed
    lines = ran.stderr.strip().splitlines()
    assert [line.partition(" ")[0] for line in lines[:-1]] == ["[1/3]", "[2/3]", "[3/3]"], ran.stderr
    assert "1 of 3 trials failed" in lines[-1] and "rank 1: ValueError: planted" in lines[-1]
    log = (tmp_path / "log.txt").read_text().splitlines()
    assert sorted(log[:-1]) == ["0/2 relu 1", "0/2 relu 2", "1/2 relu 1", "1/2 relu 2"]
    assert [line[-1] for line in log[:-1]] == ["1", "1", "2", "2"]  # nobody is ahead of the others
    assert log[-1] == "0 once"
    run = load(tmp_path / "run")
    assert [r.trial.benchmark for r in run.records] == ["toy", "toy", "once"]
    assert run.records[1].facts == {"rank": "0"}
    assert run.header["processes"] == 2


def test_processes_need_a_launcher_and_as_many_gpus() -> None:
    with pytest.raises(ValueError, match="needs launcher: torchrun"):
        suite(processes=2)
    assert (session.processes(suite()), session.processes(suite(launcher="torchrun", processes=3))) == (1, 3)
    torchrun.check_room("cpu", 64)
    with pytest.raises(UsageError, match=r"processes: 64 is more than the [0-9]+ GPUs that are visible here"):
        torchrun.check_room("cuda", 64)


def test_a_run_keeps_its_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "capture", lambda: MACHINE)
    session.begin(suite(benchmarks=[{"name": "memory", "kind": "memory"}]), tmp_path / "run", None, "toy.yaml")
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    with pytest.raises(ResultsError, match=r"the number of processes \(1 / 2\)"):
        session.resume(tmp_path / "run", None, force=False)


@pytest.mark.parametrize("forced", [False, True])
def test_processes_train_on_another_text_only_if_who_started_them_may(
    forced: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = suite(device="cpu", benchmarks=[{"name": "memory", "kind": "memory"}])
    whole, said, carried = session.begin(of, tmp_path / "run", None, "toy.yaml"), list[str](), list[bool]()

    class Said:
        def __init__(self, command: list[str], **_: Any):
            said[:] = command

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(torchrun, "subprocess", SimpleNamespace(Popen=Said))
    torchrun.carry_out(replace(whole, forced=forced), True, lambda: None)
    monkeypatch.setattr(sys, "argv", said[said.index("polybench.run.torchrun") :])
    monkeypatch.setattr(torchrun, "signal", SimpleNamespace(signal=lambda *_: None, SIGTERM=None))
    monkeypatch.setattr(torchrun.team, "lead", lambda size: nullcontext())
    monkeypatch.setattr(torchrun.local, "carry_out", lambda current, *_, **__: carried.append(current.forced))
    torchrun.main()
    assert carried == [forced]
