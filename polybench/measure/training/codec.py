"""Text to ids and back, by the tokenizer that a checkpoint carries."""

from __future__ import annotations

from typing import Any

from polybench.corpora.tokenizer import Coder, tokenizers
from polybench.errors import TrialError

_BYTES = 256


class Codec:
    """`tokenizer` is `bytes`, whose ids are the bytes, or the JSON of the tokenizers package.

    `end` is the id that ends a document, and so the one before its first token.

    Raises:
        Unsupported: the tokenizers package is not installed.
        TrialError: that JSON is damaged, or is of another vocabulary.
    """

    def __init__(self, tokenizer: str, vocabulary: int):
        self._inner: Any = None
        self.end = vocabulary - 1  # of bytes, and where others name no end
        if tokenizer == "bytes":
            return
        library = tokenizers()
        try:
            self._inner = library.Tokenizer.from_str(tokenizer)
        except Exception as problem:  # the package raises nothing narrower
            raise TrialError(f"the tokenizer in the checkpoint cannot be read: {problem}") from None
        self._inner.decoder = self._inner.decoder or library.decoders.ByteLevel()
        self.end = Coder(tokenizer).end

    def encode(self, text: str) -> list[int]:
        if self._inner is None:
            return list(text.encode("utf-8", "replace"))
        return list(self._inner.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: list[int]) -> str:
        """Bytes that are no UTF-8 become the replacement character; the end of a document is no text."""
        if self._inner is None:
            return bytes(i for i in ids if i < _BYTES).decode("utf-8", "replace")
        return str(self._inner.decode(ids, skip_special_tokens=True))
