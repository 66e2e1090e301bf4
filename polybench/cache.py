"""The folder of what is made once and used again, and one writer at a time of what lies in it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from polybench.errors import Unsupported, refusal


def cache_folder() -> Path:
    """$POLYBENCH_CACHE, else polybench in the user's cache folder, else in a temporary one of this user's."""
    given = os.environ.get("POLYBENCH_CACHE")
    return Path(given) if given else _usual(os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME"))


@cache
def _usual(caches: str | None, home: str | None) -> Path:
    try:
        folder = Path(caches or Path(home or Path.home()) / ".cache") / "polybench"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):  # no home, or none that may be written
        pass
    other = Path(tempfile.gettempdir()) / f"polybench-{os.getuid()}"
    other.mkdir(mode=0o700, exist_ok=True)
    if other.is_symlink() or other.stat().st_uid != os.getuid():
        raise Unsupported(f"{other} belongs to somebody else; set POLYBENCH_CACHE to a folder of your own")
    print(f"the cache is in {other}, since there is none in a home folder", file=sys.stderr)
    return other


@contextmanager
def locked(folder: Path, name: str, what: str) -> Iterator[None]:
    """The one writer of what is called so. Raises Unsupported, which names `what` it is, where nobody may write, and so
    TrialError where the disk is full or broken."""
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            yield
    except OSError as problem:
        why = f"{problem.strerror or problem}; name another folder in POLYBENCH_CACHE"
        raise refusal(problem, f"{what} cannot be kept under {folder}: {why}") from None
