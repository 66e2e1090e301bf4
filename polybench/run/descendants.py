"""What a measuring process has started, wherever it has gone: out of its session, or past its parent's end.

A process and what descends from it carry a mark in their environment, and what does not carry it any more is still a
child of a child.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MARK = "POLYBENCH_WORKER"  # variable
_ROUNDS = 5  # of looking for what was started meanwhile; what is killed is seen for a moment longer


def kill_all(pid: int, mark: str, alive: bool) -> None:
    """Kill all that descends from a process, and the process with its group where it is alive."""
    import psutil

    for _ in range(_ROUNDS):
        found = list(_descendants(pid, mark, alive))
        if alive:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        if not found:
            return
        alive = False


def _descendants(pid: int, mark: str, alive: bool) -> Iterator[psutil.Process]:
    import psutil

    if alive:
        with suppress(psutil.Error):
            yield from psutil.Process(pid).children(recursive=True)
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark:
                yield process
