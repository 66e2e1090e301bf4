"""From documents to tokens: a held-out split by document, a tokenizer, and a cache by content.

No byte of a held-out document ever reaches training or the tokenizer's training. Equal documents
count once, so that none of them can stand on both sides.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from polybench.errors import Unsupported
from polybench.registry import corpora

if TYPE_CHECKING:
    import numpy as np

# Dimension key: N tokens of a stream; V size of the vocabulary.

HELD_OUT_SHARE = 0.1  # of the bytes, in whole documents
_BYTES = 256  # the byte tokenizer's tokens are the bytes, and one more ends a document
END = "<|end|>"  # of a document, in a BPE trained here
_LAYOUT = 3  # bump when the split or the cached arrays change their meaning


@dataclass(frozen=True)
class Tokens:
    """Both streams of a tokenized corpus. `bytes_V` is how many bytes each token stands for.

    `tokenizer` is `bytes`, or the JSON of the tokenizers package.
    """

    train_N: np.ndarray
    held_out_N: np.ndarray
    bytes_V: np.ndarray
    hash: str
    tokenizer: str = "bytes"

    @property
    def vocabulary(self) -> int:
        return len(self.bytes_V)


def _known_tokenizer(text: str) -> str:
    name, dash, size = text.partition("-")
    if text == "bytes" or (name == "bpe" and dash and size.isdigit() and 257 <= int(size) <= 65535):
        return text
    raise ValueError("a tokenizer is bytes, or bpe-N with a vocabulary of N from 257 to 65535")


Tokenizer = Annotated[str, AfterValidator(_known_tokenizer)]


def documents(corpus: str) -> list[bytes]:
    """Distinct documents of `name` or `name:path`, in the order of their hashes.

    Raises:
        Unsupported: the text is not there, or is fewer than two documents.
    """
    name, _, path = corpus.partition(":")
    source = corpora.load(name).object
    found = {hashlib.sha256(d).digest(): d for d in (source(path) if path else source()) if d.strip()}
    if len(found) < 2:
        raise Unsupported(f"corpus {corpus} has {len(found)} document; one to train on and one to hold out are needed")
    return [found[key] for key in sorted(found)]


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
    """The tokenized corpus, from the cache when the same bytes were tokenized before.

    Raises:
        Unsupported: the corpus or the tokenizers package is not there.
    """
    import numpy as np
    from filelock import FileLock

    texts = documents(corpus)
    digest = hashlib.sha256(f"{_LAYOUT} {tokenizer}".encode())
    for text in texts:
        digest.update(hashlib.sha256(text).digest())
    name = digest.hexdigest()[:16]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    with FileLock(folder / f"{name}.lock"):
        arrays = _cached(path)
        if arrays is None:
            arrays = _tokenize(*split(texts), tokenizer)
            partial = path.with_suffix(f".{os.getpid()}.npz")
            np.savez(partial, **arrays)
            os.replace(partial, path)
    return Tokens(arrays["train_N"], arrays["held_out_N"], arrays["bytes_V"], name, str(arrays["tokenizer"]))


def cache_folder() -> Path:
    """$POLYBENCH_CACHE, else polybench in the user's cache folder."""
    given = os.environ.get("POLYBENCH_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given) if given else Path(base) / "polybench"


def _cached(path: Path) -> dict[str, Any] | None:
    import zipfile

    import numpy as np

    try:
        with np.load(path) as stored:
            return {key: stored[key] for key in ("train_N", "held_out_N", "bytes_V", "tokenizer")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # missing or damaged: made anew


def _tokenize(train: list[bytes], held_out: list[bytes], tokenizer: str) -> dict[str, Any]:
    import numpy as np

    if tokenizer == "bytes":
        end = np.array([_BYTES], dtype=np.uint16)

        def stream(texts: list[bytes]) -> Any:
            return np.concatenate([a for t in texts for a in (np.frombuffer(t, np.uint8).astype(np.uint16), end)])

        lengths = np.array([1] * _BYTES + [0], dtype=np.int64)
        named = np.array(tokenizer)
        return {"train_N": stream(train), "held_out_N": stream(held_out), "bytes_V": lengths, "tokenizer": named}
    return _bpe(train, held_out, int(tokenizer.partition("-")[2]))


def _bpe(train: list[bytes], held_out: list[bytes], size: int) -> dict[str, Any]:
    import numpy as np

    try:
        import tokenizers
    except ImportError:
        raise Unsupported("BPE needs the tokenizers package: pip install tokenizers") from None
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator((t.decode("utf-8", "replace") for t in train), trainer)

    def stream(texts: list[bytes]) -> Any:
        encoded = bpe.encode_batch([t.decode("utf-8", "replace") for t in texts])
        return np.concatenate([np.array([*e.ids, bpe.token_to_id(END)], dtype=np.uint16) for e in encoded])

    # In the byte-level alphabet one character stands for one byte.
    lengths = [0 if t == END else len(t) for t in (str(bpe.id_to_token(i)) for i in range(bpe.get_vocab_size()))]
    bytes_V, json = np.array(lengths, dtype=np.int64), np.array(bpe.to_str())
    return {"train_N": stream(train), "held_out_N": stream(held_out), "bytes_V": bytes_V, "tokenizer": json}
