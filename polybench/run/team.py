"""Several processes that train one model: rank 0 sends each job to the others and hears how it ended there.

torchrun starts this program once a process. Rank 0 plans, keeps and tells as always; the others plan nothing, so
all have the same job at the same time whatever becomes of the one before. Each job gets a fresh worker in every
process: one that failed is dead to the others at once, and nothing of it is left for the next.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

from polybench.kind import kind_of
from polybench.message import Ending, Message, decode, encode
from polybench.record import Status
from polybench.run.executor import Executor, WorkerProcess
from polybench.trial import RENDEZVOUS, Job

_STOP = b""  # to who does a job: end it
_GRACE_S = 20.0  # that a process gets to notice by itself that another one failed
Make = Callable[[], Executor]


class Together:
    """An executor whose jobs all processes do; `lines` lead to the others, in the order of their ranks."""

    def __init__(self, lines: Sequence[Connection], make: Make = WorkerProcess, grace_s: float = _GRACE_S):
        self._lines, self._make, self._grace_s = lines, make, grace_s
        self._own: Executor = make()

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        """Ends well when it does so in every process; else with the reason of the process that failed first."""
        first = job.trials[0]
        job = replace(job, environment=(*job.environment, (RENDEZVOUS, f"{first.id}/{first.rate}")))
        own = self._own = self._make()
        failures: list[str] = []
        timers: list[threading.Timer] = []
        held: list[tuple[int, Ending]] = []

        def hear(rank: int, line: Connection) -> None:
            try:
                line.send_bytes(json.dumps(job.to_json()).encode())
                ending = _ending(decode(line.recv_bytes()))
            except (EOFError, OSError):
                ending = None
            ending = ending or Ending(Status.FAILED, "its process is gone")
            if ending.status is not Status.OK:
                failures.append(f"rank {rank}: {ending.error}")
                timers.append(threading.Timer(self._grace_s, own.stop))  # where it waits for what never comes
                timers[-1].start()

        threads = [threading.Thread(target=hear, args=(i, line)) for i, line in enumerate(self._lines, 1)]
        for thread in threads:
            thread.start()

        def pass_on(message: Message) -> None:
            ending = _ending(message)
            if ending and ending.status is Status.FAILED:
                held.append((message.trial, ending))
            else:
                on_message(message)

        ending = own.run(job, pass_on)
        own.stop()
        if held or ending.status is not Status.OK:
            for thread in threads:
                thread.join(self._grace_s)
            for line in self._lines:
                with suppress(OSError):
                    line.send_bytes(_STOP)  # who still waits for this process
        for thread in threads:
            thread.join()
        for timer in timers:
            timer.cancel()
        for trial, failed in held:
            on_message(Message(trial, replace(failed, error=_joined(failed.error, failures))))
        if ending.status is Status.OK:
            return Ending(Status.FAILED, failures[0]) if failures else ending
        return replace(ending, error=_joined(ending.error, failures))

    def stop(self) -> None:
        self._own.stop()


@contextmanager
def lead(size: int) -> Iterator[Callable[[], Executor]]:
    """Meet the other processes; what makes an executor for the jobs of all."""
    key = secrets.token_bytes(16)
    with Listener((os.environ["MASTER_ADDR"], 0), authkey=key) as listener:
        _meet(f"{listener.address[1]} {key.hex()}")
        lines = sorted((_accepted(listener) for _ in range(size - 1)), key=lambda pair: pair[0])
        try:
            yield lambda: Together([line for _, line in lines])
        finally:
            for _, line in lines:
                line.close()


def follow(rank: int) -> None:
    """Do what rank 0 sends until it goes away."""
    port, key = _meet().split()
    line: Any = Client((os.environ["MASTER_ADDR"], int(port)), authkey=bytes.fromhex(key))
    line.send_bytes(str(rank).encode())
    serve(line)


def serve(line: Connection, make: Make = WorkerProcess) -> None:
    """Do the jobs that come along a line; an empty message ends the one at hand, the end of the line ends all."""
    executor, work = make(), threading.Thread()
    try:
        while True:
            message = line.recv_bytes()
            if message == _STOP:
                executor.stop()
                continue
            executor = make()
            work = threading.Thread(target=_answer, args=(line, executor, Job.from_json(json.loads(message))))
            work.start()
    except (EOFError, OSError):
        return
    finally:
        executor.stop()


def _answer(line: Connection, executor: Executor, job: Job) -> None:
    endings: list[Ending] = []

    def note(message: Message) -> None:
        if ending := _ending(message):
            endings.append(ending)

    endings.append(executor.run(job, note))
    executor.stop()
    with suppress(OSError):
        line.send_bytes(encode(Message(0, endings[0])).encode())


def _ending(message: Message | None) -> Ending | None:
    return message.item if message and isinstance(message.item, Ending) else None


def _meet(line: str = "") -> str:
    """Leave a line for the other processes, or wait for rank 0's; only torch can speak to torchrun's store."""
    command = [sys.executable, "-m", "polybench.measure.training.meeting", *([line] if line else [])]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _accepted(listener: Listener) -> tuple[int, Connection]:
    line: Any = listener.accept()
    return int(line.recv_bytes()), line


def _joined(error: str, failures: Sequence[str]) -> str:
    return f"{error} ({failures[0]})" if failures else error


def divided(job: Job) -> bool:
    """Whether several processes do the job together: those of kinds whose protocol says how they share a model."""
    return "parallel" in kind_of(job.trials[0].cell.kind).protocol.model_fields
