"""Launches as copies of a process that is ready: what they share, and that no end of one of them harms the next."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import faults
import pytest

from polybench.kind import axes_of, kind_of
from polybench.measure.forking import prepare
from polybench.measure.kinds import speed
from polybench.measure.worker import messages_of
from polybench.message import Ending
from polybench.record import Record, Status
from polybench.run.executor import MOST_KEPT, WorkerProcess
from polybench.run.runner import records_of
from polybench.trial import Cell, Job, Trial

SPEED = kind_of("speed")
BRIEF = {"launches": 1, "sample_s": 1e-5}


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    site = faults.install(tmp_path_factory.mktemp("site"))
    with pytest.MonkeyPatch.context() as patch:
        root = str(Path(__file__).parents[2])
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), root, os.environ.get("PYTHONPATH")])))
        worker = WorkerProcess()
        yield worker
        worker.stop()


def job(
    *activations: str,
    launch: int = 0,
    timeout_s: float = 600.0,
    backend: str = "eager",
    blocks: int = 3,
    **axes: int | str,
) -> Job:
    """A place of its own for each width, so that jobs of one share a process."""
    sizes = axes_of(SPEED, {"tokens": 4, "d_model": 8, **axes})
    cells = [Cell("speed", SPEED.version, name, backend, "cpu", "float32", sizes) for name in activations]
    protocol = tuple(sorted(SPEED.protocol(**BRIEF, blocks=blocks).model_dump().items()))
    trials = tuple(Trial("test", c, launch) for c in cells)
    return Job(trials, protocol, timeout_s, alone=True, process=f"test/{sizes}", fork=True)


def pids(executor: WorkerProcess) -> set[int]:
    return {worker.pid for worker in executor._workers.values()}


def statuses(records: tuple[Record, ...]) -> list[Status]:
    return [r.status for r in records]


def test_launches_are_copies_of_one_process(executor: WorkerProcess) -> None:
    first = records_of(job("relu", "gelu"), executor)
    before = pids(executor)
    second = records_of(job("relu", "gelu", launch=1), executor)
    assert statuses(first) == statuses(second) == [Status.OK] * 2
    assert pids(executor) == before
    assert first[0].get("compile_time") and not second[0].get("compile_time")  # made ready once
    assert len(second[0].get("total_time").values) == 3  # type: ignore[union-attr]


def test_places_keep_their_processes_beside_each_other_and_no_more_than_so_many(executor: WorkerProcess) -> None:
    records_of(job("relu"), executor)
    mine = pids(executor)
    records_of(job("relu", d_model=16), executor)
    assert mine < pids(executor)
    records_of(job("relu", launch=1), executor)
    assert len(pids(executor)) <= MOST_KEPT


@pytest.mark.parametrize("level", ["activation", "block"])
def test_a_launch_compiles_nothing_that_was_made_ready(monkeypatch: pytest.MonkeyPatch, level: str) -> None:
    from torch._dynamo.utils import counters

    monkeypatch.setattr(speed, "_known", speed._Known({}, {}))
    it = job("relu", "swiglu", backend="compile", blocks=7, level=level)
    prepare(it)
    compiled = counters["stats"]["unique_graphs"]
    assert compiled and not speed._known.wrong
    for launch in (1, 2):
        said = [m.item for m in messages_of(replace(it, trials=tuple(replace(t, seed=launch) for t in it.trials)))]
        assert not [item for item in said if isinstance(item, Ending)]
        assert counters["stats"]["unique_graphs"] == compiled


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("raises", Status.FAILED, "ValueError: planted mistake"),
        ("exits", Status.FAILED, "exit code 7: last words"),
        ("killed", Status.OUT_OF_MEMORY, "killed from outside"),
        ("hungry", Status.OUT_OF_MEMORY, "memory"),
        ("steep", Status.FAILED, "is not the derivative"),
    ],
)
def test_what_fails_while_it_is_made_ready_is_a_record(
    executor: WorkerProcess, name: str, status: Status, words: str
) -> None:
    (record,) = records_of(job(name, d_model=24), executor)
    assert record.status is status
    assert words in record.error
    assert statuses(records_of(job("relu", d_model=24), executor)) == [Status.OK]


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [("exits", Status.FAILED, "exit code 7: last words"), ("killed", Status.OUT_OF_MEMORY, "killed from outside"),
     ("raises", Status.FAILED, "planted mistake")],
)  # fmt: skip
def test_a_copy_that_dies_is_a_record_and_the_process_it_was_made_of_goes_on(
    executor: WorkerProcess, name: str, status: Status, words: str
) -> None:
    """The fault is not in what was made ready, so that it comes up in a copy only."""
    records_of(job("relu", d_model=32), executor)
    before = pids(executor)
    (record,) = records_of(job(name, d_model=32, launch=1), executor)
    assert (record.status, words in record.error) == (status, True), record.error
    assert statuses(records_of(job("relu", d_model=32, launch=2), executor)) == [Status.OK]
    assert pids(executor) == before


def test_a_copy_that_hangs_is_stopped_with_its_process_and_the_next_has_another(executor: WorkerProcess) -> None:
    records_of(job("relu", d_model=40), executor)
    (record,) = records_of(job("hangs", d_model=40, launch=1, timeout_s=0.5), executor)
    assert record.status is Status.TIMED_OUT and "timeout_s" in record.error
    assert statuses(records_of(job("relu", d_model=40, launch=2), executor)) == [Status.OK]


def test_a_process_with_threads_is_not_copied(executor: WorkerProcess) -> None:
    """Its copies would have none of them; what is measured has a process that starts from nothing."""
    for launch in range(2):
        (record,) = records_of(job("threaded", d_model=48, launch=launch), executor)
        assert (record.status, record.error) == (Status.OK, "")


def children(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()))


def alive(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_no_copy_outlives_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    site = faults.install(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(Path(__file__).parents[2])]))
    executor = WorkerProcess()
    records_of(job("relu"), executor)
    (pid,) = pids(executor)
    ended: list[tuple[Record, ...]] = []
    hanging = threading.Thread(target=lambda: ended.append(records_of(job("hangs", launch=1), executor)))
    hanging.start()
    while not (copies := children(pid)):
        os.sched_yield()
    if how == "stop":
        executor.stop()
    else:
        os.kill(pid, signal.SIGKILL)
    hanging.join()
    assert not statuses(ended[0])[0].settled
    while any(map(alive, copies)):  # the kernel ends it, in its own time
        os.sched_yield()
    executor.stop()


def test_in_turns_there_are_no_yardsticks_and_no_calls_of_one_token(executor: WorkerProcess) -> None:
    """A comparison of two sides divides by neither."""
    it = job("relu", "gelu")
    protocol = SPEED.protocol(**dict(it.protocol)).in_turns()
    records = records_of(replace(it, protocol=tuple(sorted(protocol.model_dump().items()))), executor)
    assert statuses(records) == [Status.OK, Status.OK]
    names = {m.metric for r in records for m in r.measurements}
    assert "total_time" in names and not names & {"copy_time", "product_time", "launch_time"}
