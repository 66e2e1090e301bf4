"""Tokenized text as files that are mapped into memory, found by content, or faster by what files it came from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from polybench.cache import cache_folder, locked
from polybench.corpora.stream import Tokens
from polybench.files import replacing, write_whole

if TYPE_CHECKING:
    import numpy as np

_ARRAYS = ("train_N", "held_out_N", "bytes_V", "trained_D", "trained_S", "shared")
_TOKENIZER = "tokenizer.json"  # absent of bytes


def kept(name: str, make: Callable[[], tuple[Mapping[str, np.ndarray], str]]) -> Tokens:
    """The tokens called `name`; `make` gives arrays and tokenizer when they are missing or damaged."""
    folder = cache_folder()
    with locked(folder, name, "tokens"):
        found = look_up(name)
        if found is None:
            _write(folder / name, *make())
            found = look_up(name)
            assert found is not None
    return found


def look_up(name: str) -> Tokens | None:
    """The tokens called `name`, mapped and not read; None when they are missing or damaged."""
    import numpy as np

    folder = cache_folder() / name
    try:
        arrays = {key: np.load(folder / f"{key}.npy", mmap_mode="r") for key in _ARRAYS}
        shared = float(arrays["shared"])
    except (OSError, ValueError, EOFError):
        return None
    tokenizer = folder / _TOKENIZER
    return Tokens(
        arrays["train_N"], arrays["held_out_N"], np.array(arrays["bytes_V"]), name,
        tokenizer=str(tokenizer) if tokenizer.exists() else "bytes", trained_D=arrays["trained_D"],
        trained_S=arrays["trained_S"], shared=None if math.isnan(shared) else shared,
    )  # fmt: skip


def recall(stamp: str) -> Tokens | None:
    """The tokens made when files had this stamp."""
    try:
        return look_up((cache_folder() / f"{stamp}.stamp").read_text(encoding="ascii")) if stamp else None
    except (OSError, UnicodeDecodeError):
        return None


def remember(stamp: str, name: str) -> None:
    """Note that files of this stamp are the tokens called `name`."""
    if stamp:
        write_whole(cache_folder() / f"{stamp}.stamp", name)


def _write(folder: Path, arrays: Mapping[str, np.ndarray], tokenizer: str) -> None:
    import numpy as np

    with replacing(folder) as partial:
        partial.mkdir()
        for key in _ARRAYS:
            np.save(partial / f"{key}.npy", arrays[key])
        if tokenizer:
            (partial / _TOKENIZER).write_text(tokenizer, encoding="utf-8")
