"""A worker process seen from outside: send a job, read what it measures, stop it when it must."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Protocol

from polybench.errors import tells_of_memory
from polybench.message import Done, Ending, Message, decode
from polybench.plan.tuning import TUNING
from polybench.record import Status
from polybench.run.descendants import MARK, kill_all
from polybench.trial import Job

MOST_KEPT = 8  # processes that are kept ready to be copied, each of half a gigabyte
Terms = tuple[str, tuple[tuple[str, str], ...], bool]  # of the jobs of one process


class Executor(Protocol):
    """Runs one job at a time; tests put a fake in this place."""

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending: ...

    def stop(self) -> None: ...


class WorkerProcess:
    """An executor that keeps a process for as long as jobs may share it, and beside it those that are copied.

    `executable` is the Python that the processes are started with.
    """

    def __init__(self, executable: str = sys.executable) -> None:
        self._executable = executable
        self._workers: dict[Terms, _Worker] = {}
        self._stopped = self._busy = False

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        """Blocks until the job is done, its process is dead, or the time is up."""
        self._busy = True
        try:
            worker = self._ready(job)
            ending = worker.converse(job, on_message)
            if worker.dead:
                self._forget(worker)
            return ending
        finally:
            self._busy = False

    def stop(self) -> None:
        """End the processes; a job that runs meanwhile, in another thread, ends as failed."""
        self._stopped = True
        for worker in list(self._workers.values()):
            worker.stop()
            if not self._busy:  # else its thread closes what it is reading
                worker.close()

    def _ready(self, job: Job) -> _Worker:
        terms = (job.process, job.environment, job.fork)
        for known, worker in list(self._workers.items()):
            # Whatever is kept for copies is kept, of the others the last one.
            if worker.dead or (known != terms and not (known[-1] and job.fork)):
                self._forget(worker)
        if terms in self._workers:
            self._workers[terms] = self._workers.pop(terms)
        else:
            while len(self._workers) >= MOST_KEPT:
                self._forget(next(iter(self._workers.values())))
            self._workers[terms] = _Worker(job, self._executable)
        if self._stopped:
            self._workers[terms].stop()
        return self._workers[terms]

    def _forget(self, worker: _Worker) -> None:
        worker.close()
        self._workers = {terms: known for terms, known in self._workers.items() if known is not worker}


class _Worker:
    """One process, and what it writes on stderr."""

    def __init__(self, job: Job, executable: str) -> None:
        self._stopped = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        self._mark = secrets.token_hex(8)
        compiling = {"TORCHINDUCTOR_COMPILE_THREADS": "1"} if job.fork else {}  # no process with threads is copied
        self._process = _started(
            [executable, "-m", "polybench.measure.worker"],
            self._log.fileno(),
            worker_environment({**compiling, **dict(job.environment), MARK: self._mark}),
        )
        gone, here = os.pipe()
        self._gone = open(gone, "rb", buffering=0)  # noqa: SIM115  can be read once the process is gone
        threading.Thread(target=self._await, args=(here,), daemon=True).start()

    def _await(self, here: int) -> None:
        self._process.wait()
        os.close(here)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def dead(self) -> bool:
        return self._process.poll() is not None

    def converse(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        """Send the job and hear what comes of it. Where it ends the process, that is dead when this returns."""
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(job.timeout_s, give_up)
        timer.daemon = True
        timer.start()
        written = self._log.seek(0, os.SEEK_END)
        try:
            assert self._process.stdin
            with contextlib.suppress(OSError):  # a dead worker: the empty stdout below tells
                self._process.stdin.write(json.dumps(job.to_json()).encode() + b"\n")
                self._process.stdin.flush()
            for line in self._lines():
                message = decode(line)
                if message and isinstance(message.item, Done):
                    code = message.item.code
                    return _death(code, self._last_words(written)) if code else Ending()
                if message:
                    on_message(message)
        finally:
            timer.cancel()
        code = self._process.wait()
        if late.is_set():
            of = job.trials[0].benchmark.removesuffix(TUNING)  # which the suite names
            return Ending(Status.TIMED_OUT, f"stopped after {job.timeout_s:g} s; raise timeout_s of {of}")
        if self._stopped and code == -signal.SIGKILL:  # by this program: it tells nothing of memory
            return Ending(Status.FAILED, "the measuring process was stopped")
        return _death(code, self._last_words(written))

    def _lines(self) -> Iterator[bytes]:
        """What it writes, until it is gone: what it started may hold its end of the pipe for longer."""
        assert self._process.stdout
        out, rest = self._process.stdout.fileno(), bytearray()
        with selectors.DefaultSelector() as ready:
            for end in (out, self._gone):
                ready.register(end, selectors.EVENT_READ)
            while any(key.fd == out for key, _ in ready.select()):
                if self.dead:
                    self.kill()  # or what it left behind could write for ever
                read = os.read(out, 1 << 16)
                if not read:
                    return
                rest += read
                if b"\n" in read:
                    *lines, last = rest.split(b"\n")
                    rest = bytearray(last)
                    yield from map(bytes, lines)

    def stop(self) -> None:
        """Kill it; a job that it does meanwhile ends as failed."""
        self._stopped = True
        self.kill()

    def kill(self) -> None:
        """With all that it started, wherever that has gone."""
        kill_all(self._process.pid, self._mark, alive=not self.dead)
        self._process.wait()

    def close(self) -> None:
        """Kill it, and close what it was read by."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._log, self._gone):
            if pipe:
                with contextlib.suppress(OSError):  # what a dead worker never read cannot be flushed
                    pipe.close()

    def _last_words(self, since: int) -> str:
        """The last line of what it wrote from there on."""
        end = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(since, end - 4000))
        lines = [line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


@cache
def _starter() -> ThreadPoolExecutor:
    """The one thread that starts workers: the kernel ends a worker with that, so it must last as long as polybench."""
    return ThreadPoolExecutor(1, thread_name_prefix="starter")


def _started(command: Sequence[str], log: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    started = _starter().submit(
        subprocess.Popen,
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        start_new_session=True,  # Ctrl-C is for polybench, which then stops its workers
    )
    return started.result()


def worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """One thread for each library, whatever the user has set, unless the protocol says otherwise."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quiet = {"KINETO_LOG_LEVEL": "99", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    return {**_user(), **os.environ, **threads, **quiet, **extra}


def _user() -> dict[str, str]:
    """A name for a user without one, as in a container: torch's compiler calls its folder by it."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        return {"USER": f"user{os.getuid()}"}
    return {}


def _signal(number: int) -> str:
    """Those between the last named one and the first of real time have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _death(code: int, words: str) -> Ending:
    if code == -signal.SIGKILL:
        return Ending(Status.OUT_OF_MEMORY, "the measuring process was killed from outside, most often for its memory")
    how = _signal(-code) if code < 0 else f"exit code {code}"
    status = Status.OUT_OF_MEMORY if tells_of_memory(words) else Status.FAILED
    return Ending(status, f"the measuring process ended with {how}" + (f": {words}" if words else ""))
