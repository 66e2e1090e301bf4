"""The compiled kernels of this machine: built at first use, kept in the cache, loaded once a process."""

from __future__ import annotations

import ctypes
import hashlib
import tempfile
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from polybench.cache import cache_folder, locked
from polybench.errors import TrialError
from polybench.files import replacing, sweep
from polybench.kernels.build import NotCompiled, Way, build, takes, ways

_LIBRARY, _DIGEST = "kernels.so", "sha256"


@dataclass(frozen=True)
class Library:
    """What was loaded, and how it was compiled."""

    functions: ctypes.CDLL
    way: Way


@cache
def library() -> Library | None:
    """The kernels; None, and a warning that says why, where they cannot be compiled or loaded."""
    found = attempt()
    if isinstance(found, str):
        warnings.warn(f"fused kernels run in chunks by operators of torch: {found}", RuntimeWarning, stacklevel=2)
        return None
    return found


@cache
def attempt() -> Library | str:
    """The kernels, or why they cannot be compiled or loaded. A warning says so where they cannot be kept."""
    try:
        candidates = ways()
        try:
            return _kept(candidates)
        except (TrialError, OSError) as problem:  # nothing can be kept there, or nothing of it run
            found = _for_this_process(candidates)
            warnings.warn(f"every process compiles the fused kernels anew: {problem}", RuntimeWarning, stacklevel=2)
            return found
    except (NotCompiled, OSError) as problem:
        return str(problem)


def _kept(candidates: list[Way]) -> Library:
    """From the cache, where only one process at a time builds; TrialError and OSError as library() says."""
    folder, best = cache_folder() / "kernels", candidates[0]
    if _whole(folder / best.key):
        return _loaded(folder, best)
    with locked(folder, best.key, "compiled kernels"):
        return _best(folder, candidates)


def _for_this_process(candidates: list[Way]) -> Library:
    with tempfile.TemporaryDirectory(prefix="polybench-kernels-") as folder:
        return _best(Path(folder), candidates)  # what is mapped stays when its file is gone


def _best(folder: Path, candidates: list[Way]) -> Library:
    """By the first way that lies there or of which the compiler knows the flags, or the last: what lies there may be of
    a lesser CPU. Raises NotCompiled and OSError as build."""
    with tempfile.TemporaryDirectory() as trial:
        way = next((w for w in candidates if _whole(folder / w.key) or takes(w, Path(trial))), candidates[-1])
    return _loaded(folder, way) if _whole(folder / way.key) else _built(folder, way)


def _built(folder: Path, way: Way) -> Library:
    sweep(folder / way.key)  # a builder that was killed left its folder
    with replacing(folder / way.key) as partial:
        partial.mkdir()
        build(way, partial / _LIBRARY)
        (partial / _DIGEST).write_text(_digest(partial / _LIBRARY), encoding="ascii")
    return _loaded(folder, way)


def _whole(folder: Path) -> bool:
    """Whether the library is there as it was built: to load half of one would end the process."""
    try:
        return (folder / _DIGEST).read_text(encoding="ascii") == _digest(folder / _LIBRARY)
    except (OSError, UnicodeDecodeError):
        return False


def _loaded(folder: Path, way: Way) -> Library:
    return Library(ctypes.CDLL(str(folder / way.key / _LIBRARY)), way)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
