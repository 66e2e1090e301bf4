"""How much of held-out tokens training tokens have too, where texts were tokenized by others and documents can be told.

A shingle is thirteen tokens of one document. A part of them is looked at, chosen by their first two tokens, so the same
on either side; nothing is kept of training tokens, however many they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from polybench.corpora.shingles import WORDS, mixed

if TYPE_CHECKING:
    import numpy as np

    from polybench.corpora.stream import Stream

# Dimension key: N tokens of a stream; S shingles; W tokens of a shingle.

_ENOUGH = 1 << 18  # held-out shingles that are looked at
_CHUNK = 1 << 16  # tokens at a time
_ODD = 0x9E3779B97F4A7C15  # of splitmix64


def shared(train_N: Stream, held_out_N: Stream, end: int) -> float | None:
    """The share of the distinct shingles held out that are in training too; None where there is none to be found."""
    import numpy as np

    one_in = max(1, len(held_out_N) // _ENOUGH)
    parts = [np.unique(hash_S) for hash_S in _hashes(held_out_N, end, one_in)]
    held_S = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)
    if not len(held_S):
        return None
    found_S = np.zeros(len(held_S), bool)
    for hash_S in _hashes(train_N, end, one_in):
        at_S = np.minimum(np.searchsorted(held_S, hash_S), len(held_S) - 1)
        found_S[at_S[held_S[at_S] == hash_S]] = True
    return float(found_S.mean())


def _hashes(stream_N: Stream, end: int, one_in: int) -> Iterator[np.ndarray]:
    """Hashes of the chosen shingles of a stream, (S,), a piece of it at a time."""
    import numpy as np

    weights_W = mixed(np.arange(1, WORDS + 1, dtype=np.uint64)) | np.uint64(1)
    for start in range(0, len(stream_N) - WORDS + 1, _CHUNK):
        ids_N = np.asarray(stream_N[start : start + _CHUNK + WORDS - 1]).astype(np.uint64)
        first_N, second_N = ids_N[: len(ids_N) - WORDS + 1], ids_N[1 : len(ids_N) - WORDS + 2]
        chosen_N = mixed(first_N * np.uint64(_ODD) + second_N) % np.uint64(one_in) == 0
        # Padding is one token again and again, and no text.
        at_S = np.flatnonzero(chosen_N & (first_N != second_N))
        ids_SxW = ids_N[at_S[:, None] + np.arange(WORDS)]
        ids_SxW = ids_SxW[~(ids_SxW == end).any(axis=1)]
        yield mixed(ids_SxW @ weights_W)
