"""Jobs of several sides held in step: launch after launch of one place, and what is not timed side by side."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

from polybench.interrupt import held
from polybench.message import Ending, Message
from polybench.record import Record, Status
from polybench.run.conductor import Conductor
from polybench.run.executor import Executor, WorkerProcess
from polybench.run.runner import Event, Finished, records_of, run
from polybench.run.side import Side
from polybench.trial import Cell, Job

Keep = Callable[[str, Sequence[Record]], None]  # what was measured, with the side it is of
LEAST = 2  # launches of a verdict


def launch(jobs: Mapping[str, Job], executors: Mapping[str, Executor], seed: str) -> dict[str, tuple[Record, ...]]:
    """One launch of every side, their processes taking turns; records of one launch have one time of starting.

    Raises KeyboardInterrupt after stopping the processes.
    """
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    conductor = Conductor(jobs, seed)

    def measured(side: str) -> tuple[Record, ...]:
        try:
            return records_of(replace(jobs[side], turns=conductor.doors[side]), executors[side])
        finally:
            conductor.ended(side)

    try:
        with ThreadPoolExecutor(len(jobs) + 1) as pool:
            futures = {side: pool.submit(measured, side) for side in jobs}
            every: list[Future[object]] = [*futures.values(), pool.submit(conductor.conduct)]  # type: ignore[list-item]
            try:
                with held() as due:
                    while wait(every, timeout=0.2, return_when=FIRST_EXCEPTION).not_done:
                        due()  # waking up now and then lets Ctrl-C through
                        if any(f.done() and f.exception() for f in every):
                            break
            except BaseException:
                _stop(executors)
                raise
            if any(f.done() and f.exception() for f in every):
                _stop(executors)
        every[-1].result()
        return {side: tuple(replace(r, started_at=started_at) for r in f.result()) for side, f in futures.items()}
    finally:
        conductor.close()


def launches(
    place: Mapping[str, Job],
    executors: Mapping[str, Executor],
    looks: Sequence[int],
    undecided: Callable[[Iterable[Cell]], set[Cell]],
    keep: Keep,
    *,
    first: int = 0,
    deadline: float = math.inf,
    now: Callable[[], float] = time.monotonic,
) -> int:
    """Launches of one place, until at a look nothing of it is undecided, or time is up; returns how many.

    `place` has the job of the first launch of each side. `undecided` is told of the cells that were measured until then
    and answers which need more; it sees what `keep` got. Nobody waits for a cell that failed on a side. A launch that
    would end after the `deadline` is not begun, but for the first two, without which there is no verdict.
    """
    cells = {t.cell for job in place.values() for t in job.trials}
    done, took = 0, 0.0
    for look in looks:
        while done < look:
            began = now()
            if done >= LEAST and began + took > deadline:
                return done
            number = first + done
            jobs = {side: _launched(job, number, cells) for side, job in place.items()}
            found = launch(jobs, executors, f"{next(iter(jobs.values())).process}/{number}")
            for side, records in found.items():
                keep(side, records)
            done, took = done + 1, now() - began
            cells -= {r.trial.cell for records in found.values() for r in records if r.status is not Status.OK}
            if not cells:
                return done
        cells = undecided(cells) & cells
        if not cells:
            break
    return done


def _launched(job: Job, number: int, cells: set[Cell]) -> Job:
    """The job of that launch, of these cells alone; a process that is not copied is a launch's own."""
    trials = tuple(replace(t, seed=number) for t in job.trials if t.cell in cells)
    return replace(job, trials=trials, process=job.process if job.fork else f"{job.process}/{number}")


@contextmanager
def workers(sides: Mapping[str, Side]) -> Iterator[dict[str, Executor]]:
    """A worker for each side, which are gone afterwards."""
    found: dict[str, Executor] = {name: WorkerProcess(side.executable) for name, side in sides.items()}
    try:
        yield found
    finally:
        _stop(found)


def side_by_side(
    jobs: Mapping[str, Sequence[Job]], sides: Mapping[str, Side], slots: int, keep: Keep, tell: Callable[[Event], None]
) -> None:
    """What is not timed in launches: the same trial of every side at about the same time.

    Raises ResultsError and KeyboardInterrupt as `runner.run` does.
    """
    of: dict[int, str] = {}
    queue: list[Job] = []
    for i in range(max(map(len, jobs.values()), default=0)):
        for name, mine in jobs.items():
            if i < len(mine):
                queue.append(mine[i])
                of[id(mine[i])] = name

    def heard(event: Event) -> None:
        if isinstance(event, Finished):
            keep(of[id(event.job)], event.records)
        tell(event)

    idle = _Idle(sides)
    run(queue, lambda: _OfSides(idle, of), slots, lambda records: None, heard)


class _Idle:
    """Workers of each side that have nothing to do."""

    def __init__(self, sides: Mapping[str, Side]):
        self._sides = sides
        self._lock = threading.Lock()
        self._workers: dict[str, list[WorkerProcess]] = {name: [] for name in sides}

    def take(self, side: str) -> WorkerProcess:
        with self._lock:
            return self._workers[side].pop() if self._workers[side] else WorkerProcess(self._sides[side].executable)

    def give(self, side: str, worker: WorkerProcess) -> None:
        with self._lock:
            self._workers[side].append(worker)

    def stop(self) -> None:
        with self._lock:
            for workers in self._workers.values():
                while workers:
                    workers.pop().stop()


class _OfSides:
    """An executor that does each job by an idle worker of its side."""

    def __init__(self, idle: _Idle, of: Mapping[int, str]):
        self._idle, self._of = idle, of
        self._busy: WorkerProcess | None = None

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        side = self._of[id(job)]
        self._busy = worker = self._idle.take(side)
        try:
            return worker.run(job, on_message)
        finally:
            self._busy = None
            self._idle.give(side, worker)

    def stop(self) -> None:
        """Its own worker, and those that are idle: whoever still has jobs starts another."""
        if busy := self._busy:
            busy.stop()
        self._idle.stop()


def _stop(executors: Mapping[str, Executor]) -> None:
    for executor in executors.values():
        with suppress(OSError):
            executor.stop()
