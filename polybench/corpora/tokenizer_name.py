"""How a suite says a tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from polybench.errors import A_LINE, in_short


def _known_tokenizer(text: str) -> str:
    name, dash, size = text.partition("-")
    if text == "bytes" or (name == "bpe" and dash and size.isdigit() and 257 <= int(size) <= 65535):
        return text
    kind, _, path = text.partition(":")
    if kind.strip() == "file" and path.strip():
        if not Path(path.strip()).is_file():
            raise ValueError(f"there is no file {in_short(path.strip(), A_LINE)} (looked from {Path.cwd()})")
        return f"file:{path.strip()}"
    raise ValueError(
        "a tokenizer is bytes, bpe-N with a vocabulary of N from 257 to 65535, or file: path/to/tokenizer.json"
    )


Tokenizer = Annotated[str, AfterValidator(_known_tokenizer)]
