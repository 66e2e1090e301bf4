"""From text to ids: bytes, byte-level BPE trained on the spot, or any tokenizer.json."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polybench.errors import Unsupported

if TYPE_CHECKING:
    import numpy as np

# Dimension key: N tokens of a stream; V size of the vocabulary.

_BYTES = 256  # the byte tokenizer's tokens are the bytes, and one more ends a document
_END = "<|end|>"  # of a document, of a BPE trained here
# What ends a document in the tokenizers of others: GPT-2 and Pythia; Llama 3; Llama 2, T5; Gemma; BERT; Qwen, SmolLM.
_ENDS = (_END, "<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]", "<|im_end|>")
_BATCH = 4 << 20  # bytes of text that are encoded at a time
_TASTE = 256  # characters of a text that are tried first
_MOST_IDS = 32  # tokens a byte; a sane tokenizer makes about one of the worst, and normal forms up to eighteen of one
_MOST_GROWTH = 64  # times as long as it was may a text become before it is cut
_MOST_JSON = 256 << 20  # bytes; the largest vocabularies take about 40 MB
_LEARN = 32 << 20  # bytes of text that a BPE is trained on at most; documents come in the order of their hashes


class Bytes:
    """A token a byte, and one more for a document's end."""

    json = ""
    end = _BYTES

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text without an end."""
        return list(text.encode("utf-8", "replace"))

    def decode(self, ids: Iterable[int]) -> str:
        """Bytes that are no UTF-8 become the replacement character; the end of a document is no text."""
        return bytes(i for i in ids if i != self.end).decode("utf-8", "replace")

    def encode(self, texts: Iterable[bytes]) -> np.ndarray:
        """One stream of all documents, each with its end."""
        import numpy as np

        end = np.array([self.end], dtype=np.uint16)
        return np.concatenate([a for t in texts for a in (np.frombuffer(t, np.uint8).astype(np.uint16), end)])

    def lengths(self, texts: Sequence[bytes], stream_N: np.ndarray) -> np.ndarray:
        """Bytes that each token stands for, (V,)."""
        import numpy as np

        return np.array([1] * _BYTES + [0], dtype=np.int64)


class Coder:
    """A tokenizer of the tokenizers package, from its JSON; it adds a document's end and nothing else."""

    def __init__(self, described: str, origin: str = "the tokenizer"):
        self.json, self.origin = described, origin

    @cached_property
    def _inner(self) -> Any:
        package = tokenizers()
        with _told(f"{self.origin} is no tokenizer.json"):
            growth = math.prod(_growth(json.loads(self.json)))
        if growth > _MOST_GROWTH:
            raise Unsupported(f"{self.origin} makes texts {growth} times as long before it cuts them, which none needs")
        with _told(f"{self.origin} is no tokenizer.json"):
            inner = package.Tokenizer.from_str(self.json)
        inner.encode_special_tokens = True  # what a text says is text, also where it says <|endoftext|>
        inner.no_truncation()
        inner.no_padding()
        inner.decoder = inner.decoder or package.decoders.ByteLevel()
        return inner

    @cached_property
    def _size(self) -> int:
        return int(max(self._inner.get_vocab(with_added_tokens=True).values(), default=-1)) + 1

    @cached_property
    def end(self) -> int:
        """The id that ends a document: a well-known token's that no text is encoded to, else one more than the last."""
        for name in _ENDS:
            id = self._inner.token_to_id(name)
            if id is not None and id not in self.encode_text(name):
                return int(id)
        return self._size

    @property
    def vocabulary(self) -> int:
        return max(self._size, self.end + 1)

    def encode_text(self, text: str) -> list[int]:
        """Ids of a text without an end."""
        return self._ids([text])[0]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; the end of a document and other special tokens are no text."""
        return str(self._inner.decode(ids, skip_special_tokens=True))

    def encode(self, texts: Iterable[bytes]) -> np.ndarray:
        """One stream of all documents, each with its end; uint32 where ids do not fit into uint16."""
        import numpy as np

        dtype = np.uint16 if self.vocabulary <= 1 << 16 else np.uint32
        parts = []
        for batch in _batches(texts):
            found = self._ids([t.decode("utf-8", "replace") for t in batch])
            parts += [np.array([*ids, self.end], dtype=dtype) for ids in found]
        return np.concatenate(parts)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each text; first of a few letters of some, so that a tokenizer that makes much of little ends in time."""
        for some in ([t[:_TASTE] for t in texts[:8]], texts):
            with _told(f"{self.origin} cannot encode text"):
                found = [e.ids for e in self._inner.encode_batch(some, add_special_tokens=False)]
            for text, ids in zip(some, found, strict=True):
                if len(ids) > _MOST_IDS * (len(text.encode("utf-8", "replace")) + 1):
                    raise Unsupported(
                        f"{self.origin} makes {len(ids)} tokens of {len(text)} characters, more than {_MOST_IDS} a byte"
                    )
        return found

    def lengths(self, texts: Sequence[bytes], stream_N: np.ndarray) -> np.ndarray:
        """Bytes that each token stands for, (V,): by the byte-level alphabet, where that adds up to the text.

        Elsewhere (word pieces, sentence pieces, normalised text) a token has no length of its own: every
        one gets the mean, bytes of the text over tokens without ends, so that sums over much text are right.
        """
        import numpy as np

        wanted = sum(len(t.decode("utf-8", "replace").encode()) for t in texts)
        exact_V = self.alphabet_lengths()
        if exact_V is not None and int(exact_V[stream_N].sum()) == wanted:
            return exact_V
        counts_V = np.full(self.vocabulary, wanted / max(1, int((stream_N != self.end).sum())))
        counts_V[self.end] = 0
        return counts_V

    def alphabet_lengths(self) -> np.ndarray | None:
        """Bytes of each token, (V,), of a byte-level alphabet, in which one character stands for one byte."""
        import numpy as np

        described = json.loads(self.json)
        if '"ByteLevel"' not in json.dumps([described.get("pre_tokenizer"), described.get("decoder")]):
            return None
        alphabet = set(tokenizers().pre_tokenizers.ByteLevel.alphabet())
        lengths_V = np.zeros(self.vocabulary, dtype=np.int64)
        for text, id in self._inner.get_vocab(with_added_tokens=True).items():
            lengths_V[id] = len(text) if alphabet.issuperset(text) else len(text.encode())
        lengths_V[self.end] = 0
        return lengths_V


def coder(tokenizer: str, train: Sequence[bytes]) -> Bytes | Coder:
    """What encodes: for bpe-N trained on `train`, and on nothing else. Raises Unsupported."""
    if tokenizer == "bytes":
        return Bytes()
    kind, _, path = tokenizer.partition(":")
    if kind == "file":
        return of_file(Path(path))
    return Coder(_bpe(train, int(tokenizer.partition("-")[2])))


def of_json(described: str, origin: str) -> Bytes | Coder:
    """The tokenizer that `Tokens.tokenizer_json` told of; `origin` says where that is. Coders raise Unsupported."""
    return Bytes() if described == "bytes" else Coder(described, origin)


def of_file(path: Path) -> Coder:
    """The tokenizer in a tokenizer.json. Raises Unsupported when it cannot be read."""
    try:
        if path.stat().st_size > _MOST_JSON:
            raise Unsupported(f"{path} has more than {_MOST_JSON >> 20} MiB, which no tokenizer.json has")
        return Coder(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as problem:
        raise Unsupported(f"{path} cannot be read as a tokenizer.json: {problem}") from None


def tokenizers() -> Any:
    """The tokenizers package. Raises Unsupported when it is not installed."""
    try:
        import tokenizers
    except ImportError:
        raise Unsupported("BPE and tokenizer.json need the tokenizers package: pip install tokenizers") from None
    return tokenizers


def _growth(described: Any) -> Iterator[int]:
    """How many times as long each step that replaces text may make it, of a described tokenizer or a part of it."""
    if isinstance(described, dict):
        if described.get("type") in ("Replace", "Prepend"):
            pattern = described.get("pattern", {}).get("String") or "."
            yield -(-len(described.get("content") or described.get("prepend") or "") // len(pattern)) or 1
        described = list(described.values())
    if isinstance(described, list):
        for part in described:
            yield from _growth(part)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever the package raises as one sentence; its panics are no Exception."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as problem:
        raise Unsupported(f"{what}: {problem}") from None


def _bpe(train: Sequence[bytes], size: int) -> str:
    package = tokenizers()
    bpe = package.Tokenizer(package.models.BPE())
    bpe.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = package.decoders.ByteLevel()
    trainer = package.trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[_END],
        initial_alphabet=package.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    starts = accumulate(map(len, train), initial=0)
    sample = (t for t, start in zip(train, starts, strict=False) if start < _LEARN)
    bpe.train_from_iterator((t.decode("utf-8", "replace") for t in sample), trainer)
    return str(bpe.to_str())


def _batches(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size > _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
