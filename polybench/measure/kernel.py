"""What a measuring process asks of Linux: to end with its parent, to keep its orphans, to go first when memory does.

Elsewhere, and where the kernel refuses, it asks in vain and is none the worse.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
_FIRST = "1000"  # the most there is


def end_with_parent() -> None:
    """Be killed when the thread that started this process ends, even while no thread of Python's can run."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def keep_orphans() -> None:
    """What is started from here stays below this process when its own parent ends, so that it is found."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def go_first() -> None:
    """Where memory runs out, the kernel takes the largest of the measuring processes, and never polybench itself."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST, encoding="ascii")


def _prctl(option: int, value: int) -> None:
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value)
