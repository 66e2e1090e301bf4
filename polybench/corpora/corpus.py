"""From documents to tokens: two sides, a tokenizer, and a cache by content.

No byte of a held-out document ever reaches training or the tokenizer's training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from polybench.corpora.cache import kept, recall, remember
from polybench.corpora.finding import stamp
from polybench.corpora.pretokenized import pretokenized
from polybench.corpora.reading import limited
from polybench.corpora.sides import HELD_OUT_SHARE, Sides, as_given, distinct, divided, unlike
from polybench.corpora.source import CorpusName, Documents, TokenFiles, corpora_of
from polybench.corpora.stream import Tokens
from polybench.corpora.tokenizer import Bytes, Coder, coder
from polybench.corpora.tokenizer_name import Tokenizer
from polybench.errors import Unsupported

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Tokenizer", "Tokens", "documents", "held_out", "tokens"]

_LAYOUT = 4  # bump when the sides or the cached arrays change their meaning


def documents(corpus: str) -> list[bytes]:
    """Distinct documents of a corpus of text, in the order of their hashes.

    Raises:
        Unsupported: the text is not there, damaged, or a corpus of token shards.
    """
    source = _source(corpus)
    if isinstance(source, TokenFiles):
        raise Unsupported(f"corpus {corpus} has tokens, not documents")
    return distinct(text for side in _read(source, corpus) for text in side)


def tokens(corpus: str, tokenizer: str) -> Tokens:
    """The tokenized corpus; arrays and shards are mapped from disk, not read.

    Text comes from the cache when the same bytes were tokenized before, and is not even read when its
    files are as they were then.

    Raises:
        Unsupported: the corpus or a package is not there, a file is damaged, or there is too little of it.
    """
    source = _source(corpus)
    if isinstance(source, TokenFiles):
        return pretokenized(source, tokenizer, HELD_OUT_SHARE, _LAYOUT)
    path = Path(tokenizer.partition(":")[2]) if tokenizer.startswith("file:") else None
    files = [*source.files, *([path] if path and path.exists() else [])]
    known = stamp(files, str(_LAYOUT), corpus, tokenizer) if source.files else ""
    found = recall(known)
    if found is None:
        texts = _read(source, corpus)
        made_by = f"file {coder(tokenizer, []).json}" if path else tokenizer

        def make() -> tuple[dict[str, np.ndarray], str]:
            sides = _sides(texts, corpus)
            made = coder(tokenizer, sides.train)
            return _arrays(made, sides.train, sides.held_out, sides.trained_S, sides.shared), made.json

        name = _digest(f"{_LAYOUT} {made_by}", *texts)
        found = kept(name, make)
        remember(known, name)
    return replace(found, sides=source.told)


def held_out(corpus: str, tokenizer_of: Tokens) -> Tokens:
    """The held-out side of another corpus, by the tokenizer of `tokenizer_of`; `train_N` is a part of it, of no use.

    Documents that repeat the text `tokenizer_of` was trained on are left out. `hash` tells text and tokenizer.

    Raises:
        Unsupported: as `tokens`; or one is text and the other tokens whose tokenizer is not known.
    """
    source = _source(corpus)
    if isinstance(source, TokenFiles):
        if tokenizer_of.trained_D is not None:
            raise Unsupported(f"corpus {corpus} has tokens, of which nobody knows whether they are by this tokenizer")
        same = f"file:{tokenizer_of.tokenizer}" if tokenizer_of.tokenizer else "bytes"
        own = pretokenized(replace(source, vocabulary=tokenizer_of.vocabulary), same, HELD_OUT_SHARE, _LAYOUT)
        return replace(own, shared=None)  # what that is the share of is its own training text
    if not tokenizer_of.tokenizer:
        raise Unsupported(
            f"corpus {corpus} is text, but the tokens trained on are by an unknown tokenizer; "
            "name it as tokenizer: file: path/to/tokenizer.json"
        )
    beside = tokenizer_of.hash
    if tokenizer_of.trained_D is None:  # of tokens, the hash does not know by which tokenizer they are
        beside += f" {_digest(tokenizer_of.tokenizer_json)}"
    known = stamp(source.files, str(_LAYOUT), corpus, "beside", beside) if source.files else ""
    found = recall(known)
    if found is None:
        texts = _read(source, corpus)

        def make() -> tuple[dict[str, np.ndarray], str]:
            held, shared = _sides(texts, corpus).held_out, None
            if tokenizer_of.trained_D is not None and tokenizer_of.trained_S is not None:
                trained = set(tokenizer_of.trained_D.tolist())
                held = [text for text, mark in zip(held, _marks(held).tolist(), strict=True) if mark not in trained]
                if not held:
                    raise Unsupported(f"every held-out document of corpus {corpus} is among those trained on")
                held, shared = unlike(held, tokenizer_of.trained_S, corpus)
            same = tokenizer_of.tokenizer
            made = coder(same if same == "bytes" else f"file:{same}", [])
            return _arrays(made, [], held, None, shared), made.json

        name = _digest(f"{_LAYOUT} beside {beside}", *texts)
        found = kept(name, make)
        remember(known, name)
    return replace(found, sides=source.told)


def _source(corpus: str) -> Documents | TokenFiles:
    names = corpora_of(corpus)
    try:
        return CorpusName.parse(corpus).source() if len(names) == 1 else _joined(names)
    except ValueError as problem:
        raise Unsupported(str(problem)) from None


def _joined(names: Sequence[str]) -> Documents:
    """Several texts as one, each by its size; what each of them holds out alone is held out of all."""
    parts: dict[str, Documents] = {}
    for name in names:
        source = _source(name)
        if isinstance(source, TokenFiles):
            raise Unsupported(f"corpus {name} is tokenized already, and only texts can be joined")
        parts[name] = source

    @cache
    def sides() -> list[Sides]:
        return [_sides(_read(source, name), name) for name, source in parts.items()]

    files = [file for source in parts.values() for file in source.files]
    told = "; ".join(f"{name}: {source.told}" for name, source in parts.items() if source.told)
    return Documents(
        files if all(source.files for source in parts.values()) else (),
        lambda: (text for one in sides() for text in one.train),
        lambda: (text for one in sides() for text in one.held_out),
        told,
    )


def _read(source: Documents, corpus: str) -> list[list[bytes]]:
    """The distinct documents: all of them, or those of either side that the source has itself."""
    sides = [source.read, *([source.held_out] if source.held_out else [])]
    return [distinct(limited(read(), f"corpus {corpus}")) for read in sides]


def _sides(texts: Sequence[list[bytes]], corpus: str) -> Sides:
    return divided(texts[0], corpus) if len(texts) == 1 else as_given(texts[0], texts[1], corpus)


def _arrays(
    made: Bytes | Coder,
    train: Sequence[bytes],
    held: Sequence[bytes],
    trained_S: np.ndarray | None,
    shared: float | None,
) -> dict[str, np.ndarray]:
    """What is kept; arrays of no training text hold something that is never asked for, since none may be empty."""
    import numpy as np

    held_N = made.encode(held)
    return {
        "train_N": made.encode(train) if train else held_N[:1],
        "held_out_N": held_N,
        "bytes_V": made.lengths(held, held_N),
        "trained_D": _marks(train or held[:1]),
        "trained_S": np.zeros(1, np.uint64) if trained_S is None else trained_S,
        "shared": np.array(np.nan if shared is None else shared),
    }


def _marks(texts: Sequence[bytes]) -> np.ndarray:
    """The first eight bytes of each document's SHA-256, (D,)."""
    import numpy as np

    return np.frombuffer(b"".join(hashlib.sha256(text).digest()[:8] for text in texts), dtype="<u8")


def _digest(what: str, *sides: Sequence[bytes]) -> str:
    """Sixteen digits of a hash over documents; several sides are told apart."""
    digest = hashlib.sha256(what.encode())
    for index, texts in enumerate(sides):
        digest.update(b"held out" * index)
        for text in texts:
            digest.update(hashlib.sha256(text).digest())
    return digest.hexdigest()[:16]
