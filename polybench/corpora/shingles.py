"""Runs of words that documents share: what tells a near-duplicate.

A shingle is thirteen words in a row, without case and punctuation, as arXiv:2005.14165 (appendix C) looks for overlaps.
A shorter document is one shingle. A character of a script without spaces is a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Dimension key: B bytes of text; W words; S shingles; D documents.

WORDS = 13
_ALL = (1 << 64) - 1
_WHOLE = 64 << 20  # bytes of text of which every shingle is looked at; of more, a share of as many
_KEPT = 1 << 22  # shingles of training text that are kept: 32 MiB
_BATCH = 1 << 20  # bytes of text that are cut at a time
_FIRST_LETTER, _LAST_LETTER = ord("A"), ord("Z")
_IDEOGRAPH = 0xE3  # characters from U+3000 on begin with this byte or a larger one in UTF-8
_LONG = 1024  # bytes after which the places of a word's bytes are counted anew


@dataclass(frozen=True)
class Shingles:
    """The distinct shingles of each document: hashes up to `bound`, (S,), and the index of the document, (S,)."""

    hash_S: np.ndarray
    document_S: np.ndarray
    documents: int
    bound: int

    @classmethod
    def of(cls, texts: Sequence[bytes], bound: int = 0) -> Shingles:
        """Those up to `bound`; without one, all of them, or of much text the part with the smallest hashes."""
        import numpy as np

        bound = bound or _ALL // max(1, -(-sum(map(len, texts)) // _WHOLE))
        hashes, documents = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        for first, batch in _batches(texts):
            hash_S, document_S = _distinct(*_cut(batch), bound)
            hashes.append(hash_S)
            documents.append(document_S + first)
        return cls(np.concatenate(hashes), np.concatenate(documents), len(texts), bound)

    def counts_D(self) -> np.ndarray:
        """How many each document has, (D,)."""
        import numpy as np

        return np.bincount(self.document_S, minlength=self.documents)

    def repeated_D(self) -> np.ndarray:
        """How many of each document's another document has too, (D,)."""
        import numpy as np

        sorted_S = np.sort(self.hash_S)
        return self.among_D(np.unique(sorted_S[1:][sorted_S[1:] == sorted_S[:-1]]))

    def among_D(self, sorted_S: np.ndarray) -> np.ndarray:
        """How many of each document's are among these, (D,)."""
        import numpy as np

        if not len(sorted_S):
            return np.zeros(self.documents)
        at_S = np.minimum(np.searchsorted(sorted_S, self.hash_S), len(sorted_S) - 1)
        return np.bincount(self.document_S[sorted_S[at_S] == self.hash_S], minlength=self.documents)

    def kept(self) -> np.ndarray:
        """The hashes, sorted and distinct, (S,), the smallest of them where they are many.

        The last one says up to where they are all there, and may be none of them.
        """
        import numpy as np

        found_S = np.unique(self.hash_S)
        return found_S[:_KEPT] if len(found_S) > _KEPT else np.append(found_S, np.uint64(self.bound))


def _batches(texts: Sequence[bytes]) -> Iterator[tuple[int, Sequence[bytes]]]:
    """(index of the first, documents) of about as many bytes each."""
    first = size = 0
    for index, text in enumerate(texts):
        size += len(text)
        if size >= _BATCH or index == len(texts) - 1:
            yield first, texts[first : index + 1]
            first, size = index + 1, 0


def _cut(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all shingles and the index of the document of each."""
    import numpy as np

    numbers, powers, weights = _random()
    bytes_B = np.frombuffer(b"\n".join(texts), np.uint8)
    of_word_B = numbers[bytes_B] != 0
    begins_B = of_word_B & (bytes_B >= _IDEOGRAPH)
    begins_B[:1] |= of_word_B[:1]
    begins_B[1:] |= of_word_B[1:] & ~of_word_B[:-1]
    at_W = np.flatnonzero(begins_B)
    if not len(at_W):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    place_B = np.arange(len(bytes_B)) - at_W[np.maximum(np.cumsum(begins_B) - 1, 0)]
    word_W = mixed(np.add.reduceat(numbers[bytes_B] * powers[place_B % _LONG], at_W))

    ends_D = np.cumsum([len(text) + 1 for text in texts])
    document_W = np.searchsorted(ends_D, at_W, side="right")
    words_D = np.bincount(document_W, minlength=len(texts))
    rank_W = np.arange(len(at_W)) - (np.cumsum(words_D) - words_D)[document_W]
    # No shingle crosses into the next document: nothing stands after each for as many words.
    placed_W = np.arange(len(at_W)) + document_W * (WORDS - 1)
    spaced = np.zeros(len(at_W) + len(texts) * (WORDS - 1), np.uint64)
    spaced[placed_W] = word_W
    begins_W = rank_W < np.maximum(1, words_D - WORDS + 1)[document_W]
    starts_S = placed_W[begins_W]
    hash_S = np.zeros(len(starts_S), np.uint64)
    for place in range(WORDS):
        hash_S += spaced[starts_S + place] * weights[place]
    return mixed(hash_S), document_W[begins_W]


def _distinct(hash_S: np.ndarray, document_S: np.ndarray, bound: int) -> tuple[np.ndarray, np.ndarray]:
    """Those up to `bound`, each once a document."""
    import numpy as np

    mine_S = hash_S <= np.uint64(bound)
    hash_S, document_S = hash_S[mine_S], document_S[mine_S]
    order_S = np.lexsort((hash_S, document_S))
    hash_S, document_S = hash_S[order_S], document_S[order_S]
    new_S = np.ones(len(hash_S), bool)
    new_S[1:] = (hash_S[1:] != hash_S[:-1]) | (document_S[1:] != document_S[:-1])
    return hash_S[new_S], document_S[new_S]


@cache
def _random() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Odd numbers that never change: of a byte, nought where it is of no word; of a place in a word; in a shingle."""
    import numpy as np

    odd = mixed(np.arange(1, 257 + _LONG + WORDS, dtype=np.uint64)) | np.uint64(1)
    numbers, powers, weights = odd[:256].copy(), odd[256 : 256 + _LONG], odd[256 + _LONG :]
    numbers[_FIRST_LETTER : _LAST_LETTER + 1] = numbers[_FIRST_LETTER + 32 : _LAST_LETTER + 33]
    for byte in range(128):
        if not chr(byte).isalnum():
            numbers[byte] = 0
    return numbers, powers, weights


def mixed(numbers: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (Steele et al., doi 10.1145/2660193.2660195), which spreads any difference."""
    import numpy as np

    mixed: np.ndarray = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
