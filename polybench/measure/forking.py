"""One process that is ready, and a copy of it for each job: a launch without the seconds of starting.

Only a process of a single thread is copied: a copy has none of the others, and what they had locked stays locked in
it. Where there are more, the job gets a process that starts from nothing. Copies share addresses and heap, which fresh
processes do not, so who measures in one has to shuffle its memory.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TextIO

from polybench.errors import first_line
from polybench.kind import kind_of
from polybench.measure.kernel import end_with_parent
from polybench.trial import Job

ONE = "--one"  # of the worker: a single job, then the end

CarryOut = Callable[[Job, TextIO], None]


class _Child(Protocol):
    """What is waited for."""

    def poll(self) -> int | None: ...

    def kill(self) -> None: ...


class _Copy:
    """A forked process."""

    def __init__(self, pid: int):
        self._pid = pid

    def poll(self) -> int | None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


def prepare(job: Job) -> None:
    """Do what every launch of the job's cell would do first; what goes wrong here goes wrong there too, and counts."""
    cell = job.trials[0].cell
    kind = kind_of(cell.kind)
    if kind.prepare:
        try:
            kind.prepare(job.trials, kind.axes(**dict(cell.axes)), kind.protocol(**dict(job.protocol)))
        except Exception as problem:
            print(f"not prepared: {first_line(problem)}", file=sys.stderr)


def in_a_copy(job: Job, out: TextIO, carry_out: CarryOut) -> int:
    """Have a process of its own carry out the job and write to `out`; its exit code, or less the signal that ended it.

    When stdin closes, because polybench is gone, that process is killed and this one ends.
    """
    with _told_of_ends() as ended:
        child = _copy(job, out, carry_out) if _single() else _fresh(job, out)
        while True:
            ready, _, _ = select.select([0, ended], [], [])
            if ended in ready:
                os.read(ended, 4096)
                if (code := child.poll()) is not None:
                    return code
            if 0 in ready:  # the next job waits for the end of this one, so nobody is there any more
                child.kill()
                os._exit(0)


def _copy(job: Job, out: TextIO, carry_out: CarryOut) -> _Child:
    out.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return _Copy(pid)
    code = 1
    try:
        end_with_parent()
        if os.getppid() != parent:  # it is gone already
            os._exit(0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        carry_out(job, out)
        out.flush()
        code = 0
    finally:
        os._exit(code)


def _fresh(job: Job, out: TextIO) -> _Child:
    command = [sys.executable, "-m", "polybench.measure.worker", ONE]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out.fileno(), text=True)
    assert process.stdin  # stays open: it ends when that closes
    process.stdin.write(json.dumps(job.to_json()) + "\n")
    process.stdin.flush()
    return process


def _single() -> bool:
    """Whether this process has no other thread, of Python's or a library's."""
    with suppress(OSError):
        return len(os.listdir("/proc/self/task")) == 1
    return threading.active_count() == 1


@contextmanager
def _told_of_ends() -> Iterator[int]:
    """A descriptor that can be read when a child process has ended."""
    ended, tell = os.pipe()
    os.set_blocking(tell, False)
    handler = signal.signal(signal.SIGCHLD, lambda *_: None)
    before = signal.set_wakeup_fd(tell)
    try:
        yield ended
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGCHLD, handler)
        os.close(ended)
        os.close(tell)
