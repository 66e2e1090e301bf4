"""Which documents are trained on and which are held out.

Equal documents count once, and near-duplicates never stand on both sides, so that a held-out loss is not that of text
that was learned by heart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from polybench.corpora.shingles import WORDS, Shingles
from polybench.errors import Unsupported

if TYPE_CHECKING:
    import numpy as np

# Dimension key: D documents; S shingles.

HELD_OUT_SHARE = 0.1  # of the bytes, in whole documents
MOST_SHARED = 0.05  # of the shingles of a document that is held out, with text that is trained on


@dataclass(frozen=True)
class Sides:
    """Documents of both sides.

    `shared` is the share of the held-out shingles that training text has too, `trained_S` the hashes of the shingles
    of training text as `Shingles.kept` gives them.
    """

    train: list[bytes]
    held_out: list[bytes]
    shared: float
    trained_S: np.ndarray


def distinct(texts: Iterable[bytes]) -> list[bytes]:
    """Each once and none that is blank, in the order of their hashes."""
    found = {hashlib.sha256(text).digest(): text for text in texts if text.strip()}
    return [found[key] for key in sorted(found)]


def divided(texts: Sequence[bytes], corpus: str) -> Sides:
    """Sides of a source that has none of its own.

    Raises:
        Unsupported: there are too few documents, or each of them repeats others.
    """
    if len(texts) < 2:
        few = "1 document (blank lines part those of a lone text)" if texts else "no document with anything in it"
        raise Unsupported(f"corpus {corpus} has {few}; one to train on and one to hold out are needed")
    shingles = Shingles.of(texts)
    shared = [found / max(1, of) for found, of in zip(shingles.repeated_D(), shingles.counts_D(), strict=True)]
    if min(shared) > MOST_SHARED:
        raise Unsupported(f"no document of corpus {corpus} can be held out: {_all_repeat(min(shared))}")
    train, held_out = split(texts, [one <= MOST_SHARED for one in shared])
    return _checked(train, held_out, corpus)


def as_given(train: Sequence[bytes], held_out: Sequence[bytes], corpus: str) -> Sides:
    """Sides that a source has itself: what is held out too is not trained on, what repeats training text is dropped.

    Raises:
        Unsupported: nothing is left of one.
    """
    again = set(held_out)
    train = [text for text in train if text not in again]
    if not train or not held_out:
        raise Unsupported(f"corpus {corpus} has {len(train)} documents to train on and {len(held_out)} held out")
    return _checked(train, held_out, corpus)


def split(texts: Sequence[bytes], unlike: Sequence[bool]) -> tuple[list[bytes], list[bytes]]:
    """(training, held out): of documents `unlike` all others, whole ones from the front until they make a tenth.

    A document of more than two tenths is trained on, so that one giant does not become the test.
    """
    wanted = HELD_OUT_SHARE * sum(map(len, texts))
    able = [i for i, free in enumerate(unlike) if free]
    fitting = [i for i in able if len(texts[i]) <= 2 * wanted]
    held: set[int] = set()
    size = 0
    for i in fitting or [min(able, key=lambda i: len(texts[i]))]:
        if size >= wanted or len(held) == len(texts) - 1:
            break
        size += len(texts[i])
        held.add(i)
    return [t for i, t in enumerate(texts) if i not in held], [texts[i] for i in sorted(held)]


def unlike(texts: Sequence[bytes], trained_S: np.ndarray, corpus: str) -> tuple[list[bytes], float]:
    """The documents that repeat little of the text trained on, and the share of their shingles that do.

    Raises:
        Unsupported: each of them repeats more than that.
    """
    import numpy as np

    shingles = Shingles.of(texts, int(trained_S[-1]))
    found_D, counts_D = shingles.among_D(trained_S), shingles.counts_D()
    shared_D = found_D / np.maximum(1, counts_D)
    few_D = shared_D <= MOST_SHARED
    if not few_D.any():
        raise Unsupported(f"nothing is left to be held out of corpus {corpus}: {_all_repeat(shared_D.min())}")
    left = [text for text, few in zip(texts, few_D, strict=True) if few]
    return left, float(found_D[few_D].sum() / max(1, counts_D[few_D].sum()))


def _checked(train: list[bytes], held_out: Sequence[bytes], corpus: str) -> Sides:
    trained_S = Shingles.of(train).kept()
    return Sides(train, *unlike(held_out, trained_S, corpus), trained_S)


def _all_repeat(least: float) -> str:
    return (
        f"each repeats more than {MOST_SHARED:.0%} of its runs of {WORDS} words from text that is trained on, "
        f"the least of them {least:.0%}"
    )
