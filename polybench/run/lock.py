"""The lock on the folder of a run: one polybench measures into it at a time."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from polybench.errors import ResultsError
from polybench.files import inside, told

LOCK_FILE = ".lock"
_MOST = 1000  # bytes of what a lock says
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # what file systems without locks say


@contextmanager
def locked(folder: Path, stays: bool = True) -> Iterator[Callable[[], None]]:
    """This process alone measures into the folder, until the end or until what is yielded is called.

    The lock is the kernel's and ends with the process, however that ends; the file that it lies on says who holds it,
    and stays unless it is not to, where it would be committed. On a file system without locks this says so and goes on.

    Raises:
        ResultsError: another process holds it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    file = inside(folder, LOCK_FILE)
    if file.exists() and not file.is_file():
        raise ResultsError(f"{file} is no file, so it cannot be locked; remove it")
    lock = FileLock(file, blocking=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise ResultsError(f"{folder} is being measured by {_holder(file)}; wait for it, or end it first") from None
    except OSError as problem:
        if problem.errno not in _NO_LOCKS:
            raise ResultsError(f"{file} cannot be locked: {told(problem)}") from None
        print(f"{folder} cannot be locked here; see to it that nothing else measures into it", file=sys.stderr)

    def say(holder: str) -> None:
        with suppress(OSError):  # on a full disk the lock holds all the same
            file.write_text(holder, encoding="utf-8")

    def release() -> None:
        if lock.is_locked:
            if stays:
                say("")
            else:  # while it is held, since who finds a lock on a file that is gone tries again
                file.unlink(missing_ok=True)
            lock.release()

    if lock.is_locked:
        say(_me())
    try:
        yield release
    finally:
        release()


def refuse_held(folder: Path) -> None:
    """Raises ResultsError when a process measures into the folder."""
    if (folder / LOCK_FILE).exists():
        with locked(folder):
            pass


def _me() -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": since})


def _holder(file: Path) -> str:
    """Who holds a lock, as far as can be told: the file may come from anybody."""
    try:
        with file.open("rb") as signed:
            said = json.loads(signed.read(_MOST))
        return f"process {int(said['pid'])} on {said['host']!s:.100} since {said['since']!s:.40}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"
