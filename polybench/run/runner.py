"""Carries jobs to executors and their messages into records; knows no torch and no file."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from polybench.errors import ResultsError
from polybench.interrupt import held
from polybench.kind import Fact, Measured, Note, Progress
from polybench.message import Ending, Message, Said
from polybench.plan.jobs import Plan
from polybench.record import Artifact, Measurement, Record, Status
from polybench.run.executor import Executor
from polybench.trial import Job, Trial


@dataclass(frozen=True)
class Planned:
    """What is left, now that more is known of it; `total` are the trials of the whole run."""

    todo: Plan
    total: int


@dataclass(frozen=True)
class Started:
    job: Job


@dataclass(frozen=True)
class Advanced:
    """`done` is the share of the job that is behind us."""

    job: Job
    done: float


@dataclass(frozen=True)
class Finished:
    job: Job
    records: tuple[Record, ...]


Event = Planned | Started | Advanced | Finished


def run(
    jobs: Sequence[Job],
    make_executor: Callable[[], Executor],
    slots: int,
    keep: Callable[[tuple[Record, ...]], None],
    tell: Callable[[Event], None] = lambda event: None,
    more: Callable[[], Sequence[Job]] = tuple,
) -> None:
    """Run every job: those that must be alone one after the other, the rest side by side.

    `keep` gets the records of a job as soon as it ends, before anybody is told. `more` is asked for further jobs
    that must be alone whenever those that were known have ended, so that they find their processes still there.

    Raises:
        ResultsError: `keep` could not store what was measured; the remaining jobs are not started.
        KeyboardInterrupt: every worker has been stopped; no record of a half-done job is kept.
    """
    lock = threading.Lock()
    executors: list[Executor] = []
    stopping = threading.Event()

    def advance(job: Job, done: float) -> None:
        with lock:
            tell(Advanced(job, done))

    def serve(waiting: queue.SimpleQueue[Job], alone: bool) -> None:
        executor = make_executor()
        with lock:
            executors.append(executor)
        try:
            while not stopping.is_set():
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    with lock:
                        further = more() if alone else ()
                    for job in further:
                        waiting.put(job)
                    if further:
                        continue
                    return
                with lock:
                    tell(Started(job))
                records = records_of(job, executor, partial(advance, job))
                if stopping.is_set():
                    return
                with lock:
                    keep(records)
                    tell(Finished(job, records))
        finally:
            executor.stop()

    try:
        for alone, width in ((True, 1), (False, slots)):
            waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
            chosen = [j for j in jobs if j.alone is alone]
            if not chosen:
                continue
            for job in chosen:
                waiting.put(job)
            with ThreadPoolExecutor(min(width, len(chosen))) as pool:
                try:
                    futures = [pool.submit(serve, waiting, alone) for _ in range(min(width, len(chosen)))]
                    with held() as due:
                        while wait(futures, timeout=0.2, return_when=FIRST_EXCEPTION).not_done:
                            due()  # waking up now and then lets Ctrl-C through
                            if any(f.done() and f.exception() for f in futures):
                                break
                except BaseException:
                    _halt(stopping, executors)
                    raise
                if any(f.done() and f.exception() for f in futures):
                    _halt(stopping, executors)
            for future in futures:
                future.result()
    except ResultsError:
        _halt(stopping, executors)
        raise


def records_of(
    job: Job, executor: Executor, advance: Callable[[float], None] = lambda done: None
) -> tuple[Record, ...]:
    """One record for each trial of the job, whatever happens to it."""
    alone = replace(job, trials=job.trials[:1]) if job.as_one else job
    parts: list[_Part] = [_Part() for _ in alone.trials]

    def on_message(message: Message) -> None:
        if isinstance(message.item, Progress):
            advance(message.item.done)
        else:
            parts[message.trial].take(message.item)

    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    clock = time.monotonic()
    ending = executor.run(alone, on_message)
    duration = time.monotonic() - clock
    records = [
        part.record(trial, ending, started_at, round(duration, 3))
        for trial, part in zip(alone.trials, parts, strict=True)
    ]
    return (*records, *(records[0].of(trial) for trial in job.trials[len(records) :]))


class _Part:
    """What has come of one trial so far."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []
        self.facts: dict[str, str] = {}
        self.artifacts: list[Artifact] = []
        self.ending = Ending()
        self.follow_up = ""  # what follows the measurements and cannot fail them
        self.spoiled = False
        self.notes: list[str] = []

    def take(self, item: Said) -> None:
        match item:
            case Measurement():
                self.measurements.append(item)
            case Fact(name, value):
                self.facts[name] = value
            case Artifact():
                self.artifacts.append(item)
            case Measured(follow_up):
                self.follow_up = follow_up
            case Note(text):
                self.notes.append(text)
            case Ending(_, error) if self.follow_up:
                self.spoil(error)
            case Ending():
                self.ending = item

    def spoil(self, error: str) -> None:
        self.spoiled = True
        self.notes.append(f"its {self.follow_up} failed, what was measured before stands: {error}")

    def record(self, trial: Trial, ending: Ending, started_at: str, duration_s: float) -> Record:
        status, error = self.ending.status, self.ending.error
        if status is Status.OK and ending.status is not Status.OK:
            if not self.follow_up:
                status, error = ending.status, ending.error
            elif not self.artifacts and not self.spoiled:
                self.spoil(ending.error)
        if status is Status.OK and not self.measurements:
            status, error = Status.FAILED, "it ended without measuring anything"
        return Record(
            trial=trial,
            status=status,
            measurements=tuple(self.measurements),
            facts=self.facts,
            error=error,
            started_at=started_at,
            duration_s=duration_s,
            artifacts=tuple(self.artifacts),
            notes=tuple(self.notes),
        )


def _halt(stopping: threading.Event, executors: list[Executor]) -> None:
    stopping.set()
    for executor in list(executors):
        executor.stop()
