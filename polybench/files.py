"""Files that are there whole or not at all, however a process ends, and that lie where they seem to lie.

A folder may come from anybody. What is written is never written through a link that somebody left there, and what
a run names is never looked for outside of it.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polybench.errors import ResultsError

_SECRET_BYTES = 4  # of the name of what is being written
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; free some space and try again"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "; choose a folder that you may write to"),
    errno.ENOENT: "; make its folder first",
}
_LONG_AGO_S = 3600.0  # no write takes as long


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Another path to write a file or a folder to, which takes the place of `path` once all of it is on disk.

    Nobody can foresee its name, so nothing lies there. Where it fails, what was there before stays. What a writer that
    was killed left here long ago is taken away. Raises OSError when the disk refuses.
    """
    sweep(path, _LONG_AGO_S)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(_SECRET_BYTES)}")
    try:
        yield partial
        for file in partial.iterdir() if partial.is_dir() else (partial,):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if partial.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # a folder takes the place of none but an empty one
        os.replace(partial, path)  # of a link itself, not of what it leads to
    finally:
        _remove(partial)


def sweep(path: Path, older_s: float = 0.0) -> None:
    """Take away what writers of a file or folder left beside it, where they were killed while they wrote.

    Whoever is not its one writer says how long nothing was written to it, in seconds.
    """
    for partial in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 2 * _SECRET_BYTES}"):
        with suppress(OSError):  # another one swept it
            if time.time() - partial.lstat().st_mtime >= older_s or not older_s:
                _remove(partial)


def _remove(partial: Path) -> None:
    if partial.is_dir() and not partial.is_symlink():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """All of a file or none of it; half a character is escaped. Raises ResultsError when the disk refuses."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        with replacing(path) as partial, partial.open("xb") as file:  # x: made here, and no link followed
            file.write(data)
    except OSError as problem:
        raise ResultsError(f"{path} cannot be written: {told(problem)}") from None


def told(problem: OSError) -> str:
    """What the disk says, and what to do about it where that is known."""
    return f"{problem.strerror}{_REMEDIES.get(problem.errno or 0, '')}"


def share(old: Path, new: Path, newer: bool = False) -> None:
    """Have a file elsewhere too: linked where one disk holds both, else copied.

    What is there already stays, unless the `newer` of both is wanted; a link to elsewhere is not followed. Raises
    ResultsError when the disk refuses.
    """
    if old.is_symlink() or not old.is_file():
        return
    if new.exists() and not (newer and new.stat().st_mtime_ns < old.stat().st_mtime_ns):
        return
    make_folder(new.parent)
    try:
        with replacing(new) as partial:
            try:
                os.link(old, partial, follow_symlinks=False)
            except OSError:
                shutil.copy2(old, partial, follow_symlinks=False)
    except OSError as problem:
        raise ResultsError(f"{new} cannot be written: {problem.strerror}; free some space and try again") from None


def make_folder(path: Path) -> None:
    """The folder and those above it. Raises ResultsError when a file is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ResultsError(f"{path} cannot be made: {problem.strerror}; choose another folder") from None


def inside(folder: Path, name: str) -> Path:
    """What is called `name` in a folder, there or not. Raises ResultsError when links lead out of the folder."""
    path = folder / name
    try:
        found = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        found = False
    if not found:
        raise ResultsError(f"{path} leads out of {folder}, so it is not followed; remove that link")
    return path
