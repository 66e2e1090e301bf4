"""Files that are there whole or not at all, however a process ends, and that lie where they seem to lie.

A folder may come from anybody. What is written is never written through a link that somebody left there, and what
a run names is never looked for outside of it.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polybench.errors import ResultsError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Another path to write a file or a folder to, which takes the place of `path` once all of it is on disk.

    Nobody can foresee its name, so nothing lies there. Where it fails, what was there before stays. Raises OSError
    when the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield partial
        for file in partial.iterdir() if partial.is_dir() else (partial,):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        if partial.is_dir():
            shutil.rmtree(path, ignore_errors=True)  # a folder takes the place of none but an empty one
        os.replace(partial, path)  # of a link itself, not of what it leads to
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        partial.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Take away what the one writer of a file left beside it, where it was killed while it wrote."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*"):
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """All of a file or none of it; half a character is escaped. Raises ResultsError when the disk refuses."""
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        with replacing(path) as partial, partial.open("xb") as file:  # x: made here, and no link followed
            file.write(data)
    except OSError as problem:
        raise ResultsError(f"{path} cannot be written: {problem.strerror}") from None


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
