"""Streams of tokens that stay on disk: one file after another, mapped into memory a little at a time."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

# Dimension key: N tokens of a stream; V size of the vocabulary; D documents; S shingles.

_LOOKS = 16  # slices after which mapped pages are given back; one slice can map 2 MiB, a large folio (Linux 6.18)


class Stream(Protocol):
    """What training needs of a stream of tokens: an array has it too."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Tokens:
    """Both streams of a tokenized corpus.

    `bytes_V` is how many bytes each token stands for, None where nobody knows; `ids` is then the size of
    the vocabulary. `tokenizer` is `bytes`, the path of a tokenizer.json, or nothing where others tokenized;
    `trained_D` are the first eight bytes of the SHA-256 of every training document, where these are known, and
    `trained_S` hashes of their shingles; `shared` is the share of the held-out shingles that is among them, None where
    nobody looked. `sides` says which files were held out by their names.
    """

    train_N: Stream
    held_out_N: Stream
    bytes_V: np.ndarray | None
    hash: str
    ids: int = 0
    tokenizer: str = ""
    trained_D: np.ndarray | None = None
    trained_S: np.ndarray | None = None
    shared: float | None = None
    sides: str = ""

    @property
    def vocabulary(self) -> int:
        return self.ids if self.bytes_V is None else len(self.bytes_V)

    @property
    def shared_text(self) -> str:
        """`shared`, for people."""
        return "not looked at" if self.shared is None else f"{self.shared:.2%}"

    @property
    def tokenizer_json(self) -> str:
        """`bytes`, the content of the tokenizer.json, or nothing where others tokenized."""
        if self.tokenizer in ("", "bytes"):
            return self.tokenizer
        return Path(self.tokenizer).read_text(encoding="utf-8")


class Mapped:
    """Tokens `start` to `stop` of a file whose ids of type `dtype` begin at byte `offset`.

    Mapped pages count as resident memory until they are given back, so they are, every so many slices;
    the system's file cache still holds them.
    """

    def __init__(self, file: Path, dtype: str, offset: int, start: int, stop: int):
        import numpy as np

        with file.open("rb") as opened:
            self._map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        size = np.dtype(dtype).itemsize
        self._tokens_N = np.frombuffer(self._map, dtype, stop - start, offset + start * size)
        self._looks = 0

    def __len__(self) -> int:
        return len(self._tokens_N)

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """A copy of a slice, which keeps no page mapped."""
        self._looks += 1
        found = self._tokens_N[part].copy()
        if self._looks % _LOOKS == 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
        return found


class Joined:
    """Streams one after another, as one."""

    def __init__(self, parts: Sequence[Stream]):
        self._parts = parts
        self._ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, part: slice, /) -> np.ndarray:
        """Tokens from `part.start` to `part.stop`, in steps of one, across the ends of parts."""
        import numpy as np

        start, stop, _ = part.indices(len(self))
        found: list[Any] = []
        while start < stop:
            index = bisect_right(self._ends, start)
            before = self._ends[index - 1] if index else 0
            found.append(self._parts[index][start - before : stop - before])
            start = self._ends[index]
        return found[0] if len(found) == 1 else np.concatenate(found) if found else self._parts[0][0:0]


def joined(parts: Sequence[Stream]) -> Stream:
    """One stream of several; a lone one stays itself."""
    return parts[0] if len(parts) == 1 else Joined(parts)
