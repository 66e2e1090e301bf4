"""A worker process seen from outside: send a job, read what it measures, stop it when it must."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import IO, Protocol

from polybench.message import Done, Ending, Message, decode
from polybench.record import Status
from polybench.trial import Job


class Executor(Protocol):
    """Runs one job at a time; tests put a fake in this place."""

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending: ...

    def stop(self) -> None: ...


class WorkerProcess:
    """An executor that keeps one process for as long as jobs may share it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._log: IO[bytes] | None = None
        self._terms: tuple[str, tuple[tuple[str, str], ...]] | None = None
        self._stopped = self._busy = False

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        """Blocks until the job is done, the worker is dead, or the time is up."""
        self._busy = True
        try:
            return self._converse(job, on_message)
        finally:
            self._busy = False

    def _converse(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        process = self._ready(job)
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._kill()

        timer = threading.Timer(job.timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdin and process.stdout
            with contextlib.suppress(OSError):  # a dead worker: the empty stdout below tells
                process.stdin.write(json.dumps(job.to_json()) + "\n")
                process.stdin.flush()
            for line in process.stdout:
                message = decode(line)
                if message and isinstance(message.item, Done):
                    return Ending()
                if message:
                    on_message(message)
        finally:
            timer.cancel()
        process.wait()
        words = self._last_words()
        self._discard()
        if late.is_set():
            return Ending(
                Status.TIMED_OUT, f"stopped after {job.timeout_s:g} s; raise timeout_s of {job.trials[0].benchmark}"
            )
        return _death(process.returncode, words)

    def stop(self) -> None:
        """End the process; a job that runs meanwhile, in another thread, ends as failed."""
        self._stopped = True
        if self._busy:
            self._kill()  # its thread closes what it is reading
        else:
            self._discard()

    def _ready(self, job: Job) -> subprocess.Popen[str]:
        terms = (job.process, job.environment)
        if self._process is not None and (terms != self._terms or self._process.poll() is not None):
            self._discard()
        if self._process is None:
            self._log = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
            self._process = subprocess.Popen(
                [sys.executable, "-m", "polybench.measure.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                encoding="utf-8",
                env=worker_environment(dict(job.environment)),
                start_new_session=True,  # Ctrl-C is for polybench, which then stops its workers
            )
            self._terms = terms
        if self._stopped:
            self._kill()
        return self._process

    def _kill(self) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _discard(self) -> None:
        self._kill()
        if self._process is not None:
            for pipe in (self._process.stdin, self._process.stdout, self._log):
                if pipe:
                    with contextlib.suppress(OSError):  # what a dead worker never read cannot be flushed
                        pipe.close()
        self._process = self._log = None

    def _last_words(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 4000))
        lines = [line.strip() for line in self._log.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1] if lines else ""


def worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """One thread for each library, unless the user or the protocol says otherwise."""
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    quiet = {"KINETO_LOG_LEVEL": "99", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **threads, **quiet, **extra}


def _death(code: int, words: str) -> Ending:
    if code == -signal.SIGKILL:
        return Ending(Status.OUT_OF_MEMORY, "the measuring process was killed from outside, most often for its memory")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Ending(Status.FAILED, f"the measuring process ended with {how}" + (f": {words}" if words else ""))
