"""From documents to tokens: a held-out split by document, a tokenizer, and a cache by content.

No byte of a held-out document ever reaches training or the tokenizer's training. Equal documents
count once, so that none of them can stand on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from polybench.corpora.cache import kept, recall, remember
from polybench.corpora.pretokenized import pretokenized
from polybench.corpora.reading import stamp
from polybench.corpora.source import CorpusName, Documents, TokenFiles
from polybench.corpora.stream import Tokens
from polybench.corpora.tokenizer import Tokenizer, coder
from polybench.errors import Unsupported

if TYPE_CHECKING:
    import numpy as np

__all__ = ["HELD_OUT_SHARE", "Tokenizer", "Tokens", "documents", "held_out", "split", "tokens"]

HELD_OUT_SHARE = 0.1  # of the bytes, in whole documents
_LAYOUT = 3  # bump when the split or the cached arrays change their meaning


def documents(corpus: str) -> list[bytes]:
    """Distinct documents of a corpus of text, in the order of their hashes.

    Raises:
        Unsupported: the text is not there, damaged, too little, or a corpus of token shards.
    """
    source = _source(corpus)
    if isinstance(source, TokenFiles):
        raise Unsupported(f"corpus {corpus} has tokens, not documents")
    train, held = _sides(source, corpus)
    return _in_order(train + held)


def split(texts: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """(training, held out): whole documents from the front are held out until they make a tenth.

    A document of more than two tenths is trained on, so that one giant does not become the test.
    """
    wanted = HELD_OUT_SHARE * sum(map(len, texts))
    fitting = [i for i, text in enumerate(texts) if len(text) <= 2 * wanted]
    held: set[int] = set()
    size = 0
    for i in fitting or [min(range(len(texts)), key=lambda i: len(texts[i]))]:
        if size >= wanted or len(held) == len(texts) - 1:
            break
        size += len(texts[i])
        held.add(i)
    return [t for i, t in enumerate(texts) if i not in held], [texts[i] for i in sorted(held)]


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
        train, held = _sides(source, corpus)
        made_by = f"file {coder(tokenizer, []).json}" if path else tokenizer
        name = _digest(f"{_LAYOUT} {made_by}", *([train, held] if source.held_out else [_in_order(train + held)]))

        def make() -> tuple[dict[str, np.ndarray], str]:
            made = coder(tokenizer, train)
            held_N = made.encode(held)
            arrays = {"train_N": made.encode(train), "held_out_N": held_N, "bytes_V": made.lengths(held, held_N)}
            return {**arrays, "trained_D": _marks(train)}, made.json

        found = kept(name, make)
        remember(known, name)
    return found


def held_out(corpus: str, tokenizer_of: Tokens) -> Tokens:
    """The held-out side of another corpus, by the tokenizer of `tokenizer_of`; `train_N` is a part of it, of no use.

    Documents that `tokenizer_of` was trained on are left out. `hash` tells text and tokenizer.

    Raises:
        Unsupported: as `tokens`; or one is text and the other tokens whose tokenizer is not known.
    """
    source = _source(corpus)
    if isinstance(source, TokenFiles):
        if tokenizer_of.trained_D is not None:
            raise Unsupported(f"corpus {corpus} has tokens, of which nobody knows whether they are by this tokenizer")
        same = f"file:{tokenizer_of.tokenizer}" if tokenizer_of.tokenizer else "bytes"
        return pretokenized(replace(source, vocabulary=tokenizer_of.vocabulary), same, HELD_OUT_SHARE, _LAYOUT)
    if not tokenizer_of.tokenizer:
        raise Unsupported(
            f"corpus {corpus} is text, but the tokens trained on are by an unknown tokenizer; "
            "name it as tokenizer: file: path/to/tokenizer.json"
        )
    known = stamp(source.files, str(_LAYOUT), corpus, "beside", tokenizer_of.hash) if source.files else ""
    found = recall(known)
    if found is None:
        held = _sides(source, corpus)[1]
        if tokenizer_of.trained_D is not None:
            trained = set(tokenizer_of.trained_D.tolist())
            held = [text for text, mark in zip(held, _marks(held).tolist(), strict=True) if mark not in trained]
        if not held:
            raise Unsupported(f"every held-out document of corpus {corpus} is among those trained on")
        name = _digest(f"{_LAYOUT} beside {tokenizer_of.hash}", held)

        def make() -> tuple[dict[str, np.ndarray], str]:
            same = tokenizer_of.tokenizer
            made = coder(same if same == "bytes" else f"file:{same}", [])
            held_N = made.encode(held)
            bytes_V = made.lengths(held, held_N)
            arrays = {"train_N": held_N[:1], "held_out_N": held_N, "bytes_V": bytes_V, "trained_D": _marks(held[:1])}
            return arrays, made.json

        found = kept(name, make)
        remember(known, name)
    return found


def _source(corpus: str) -> Documents | TokenFiles:
    try:
        return CorpusName.parse(corpus).source()
    except ValueError as problem:
        raise Unsupported(str(problem)) from None


def _sides(source: Documents, corpus: str) -> tuple[list[bytes], list[bytes]]:
    """(training, held out), by the source's own files or else by `split`."""
    texts = _distinct(source.read())
    if source.held_out is None:
        if len(texts) < 2:
            raise Unsupported(
                f"corpus {corpus} has {len(texts)} document; one to train on and one to hold out are needed"
            )
        return split(texts)
    held = _distinct(source.held_out())
    again = set(held)
    train = [text for text in texts if text not in again]
    if not train or not held:
        raise Unsupported(f"corpus {corpus} has {len(train)} documents to train on and {len(held)} held out")
    return train, held


def _distinct(texts: Iterable[bytes]) -> list[bytes]:
    found = {hashlib.sha256(text).digest(): text for text in texts if text.strip()}
    return [found[key] for key in sorted(found)]


def _in_order(texts: Sequence[bytes]) -> list[bytes]:
    return sorted(texts, key=lambda text: hashlib.sha256(text).digest())


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
