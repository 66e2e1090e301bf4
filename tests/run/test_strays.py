"""Whatever a plug-in starts or takes: it holds nobody up, and nothing of it outlives its trial's process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import strays

from polybench.record import Record, Status
from polybench.run.executor import WorkerProcess
from polybench.run.runner import records_of, run

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="what Linux alone can do")
PATIENCE_S = 60.0  # after which a test fails


@pytest.fixture
def pids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return strays.install(tmp_path, monkeypatch)


@pytest.fixture
def executor(pids: Path) -> Iterator[WorkerProcess]:
    worker = WorkerProcess()
    yield worker
    worker.stop()


def left(pids: Path) -> list[psutil.Process]:
    """What was left behind, once it is there."""
    while not (pids.exists() and pids.read_text(encoding="ascii").endswith("\n")):
        os.sched_yield()
    return [psutil.Process(int(line)) for line in pids.read_text(encoding="ascii").split()]


def ended(processes: list[psutil.Process]) -> bool:
    """Dead in the end, though nobody may have asked how they ended."""

    def alive(process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    patient = time.monotonic() + PATIENCE_S
    while any(map(alive, processes)) and time.monotonic() < patient:
        os.sched_yield()
    return not any(map(alive, processes))


@pytest.mark.parametrize("how", ["child", "orphan", "stranger"])
def test_what_left_its_session_holds_up_no_interrupt_and_is_ended(
    how: str, pids: Path, executor: WorkerProcess
) -> None:
    """It has the pipe that the worker is heard by; `stranger` has not even the environment."""
    records: list[Record] = []
    measuring = threading.Thread(target=lambda: records.extend(records_of(strays.job(how), executor)), daemon=True)
    measuring.start()
    found = left(pids)
    executor.stop()
    measuring.join(PATIENCE_S)
    assert not measuring.is_alive()
    assert (records[0].status, records[0].error) == (Status.FAILED, "the measuring process was stopped")
    assert len(found) == 1 and ended(found)


def test_what_left_its_session_holds_up_no_time_limit(pids: Path, executor: WorkerProcess) -> None:
    assert records_of(strays.job(), executor)[0].status is Status.OK  # the process is up
    slow = strays.job("child", timeout_s=0.5)
    (record,) = records_of(replace(slow, trials=(replace(slow.trials[0], benchmark="pre.tuning"),)), executor)
    assert record.status is Status.TIMED_OUT
    assert record.error == "stopped after 0.5 s; raise timeout_s of pre"  # as the suite calls it
    assert ended(left(pids))
    assert records_of(strays.job(), executor)[0].status is Status.OK


def test_what_outlives_a_crash_holds_up_nobody_and_is_ended(pids: Path, executor: WorkerProcess) -> None:
    (record,) = records_of(strays.job("crash"), executor)
    assert record.status is Status.FAILED and "exit code 7" in record.error
    assert ended(left(pids))


def test_what_a_good_trial_leaves_behind_ends_with_its_process(pids: Path, executor: WorkerProcess) -> None:
    (record,) = records_of(strays.job("leaves"), executor)
    assert record.status is Status.OK
    executor.stop()
    assert ended(left(pids))


RUNNER = """
import json, sys
from polybench.run.executor import WorkerProcess
from polybench.run.runner import records_of
from polybench.trial import Job
records_of(Job.from_json(json.loads(sys.argv[1])), WorkerProcess())
"""


def test_a_worker_that_holds_python_still_ends_with_a_killed_polybench(pids: Path) -> None:
    """No thread of its own can look whether anybody is there."""
    command = [sys.executable, "-c", RUNNER, json.dumps(strays.job("still").to_json())]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as polybench:
        (worker,) = left(pids)
        polybench.send_signal(signal.SIGKILL)
    assert ended([worker])


def test_a_worker_outlives_the_thread_that_asked_for_it(executor: WorkerProcess) -> None:
    """The kernel ends it with the thread that started it, which is another one."""
    asking = threading.Thread(target=records_of, args=(strays.job(), executor))
    asking.start()
    asking.join()
    before = {worker.pid for worker in executor._workers.values()}
    assert records_of(strays.job(), executor)[0].status is Status.OK
    assert {worker.pid for worker in executor._workers.values()} == before != set()


def test_one_that_takes_memory_without_end_spoils_no_other(pids: Path) -> None:
    """Two at a time, of which some are innocent, each in a process whose memory is bounded."""
    asked = ("hog", "well", "abort", "well", "hog", "well")
    records: list[Record] = []
    run([strays.job(how) for how in asked], WorkerProcess, 2, records.extend)
    by_how = sorted((r.trial.cell.axis("how"), r.status) for r in records)
    assert by_how == sorted((how, Status.OK if how == "well" else Status.OUT_OF_MEMORY) for how in asked)
    assert all(r.error for r in records if r.status is Status.OUT_OF_MEMORY)
    assert {r.facts["first"] for r in records if r.status is Status.OK} == {"1000"}
