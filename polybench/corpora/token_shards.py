"""Files of token ids that others have tokenized."""

from __future__ import annotations

import re

from polybench.corpora.finding import matching, sided
from polybench.corpora.source import TokenFiles
from polybench.registry import corpora


@corpora.register(
    "tokens", source="nanoGPT, llm.c and modded-nanogpt .bin, or NumPy .npy", takes_path=True,
    option=("type,vocabulary size", r"u?int(8|16|32|64)(,[1-9][0-9]*)?|[1-9][0-9]*"), endings=(".bin", ".npy"),
)  # fmt: skip
def tokens(path: str, option: str = "") -> TokenFiles:
    """Token files of nanoGPT, llm.c, modded-nanogpt or NumPy, mapped; #50304 says how many ids, #int32 their type."""
    parts = sided(path, matching(path, corpora.entry("tokens").facts["endings"]))
    dtype, vocabulary = re.fullmatch(r"(\D+\d+)?,?(\d+)?", option).groups()  # type: ignore[union-attr]
    return TokenFiles(parts.train, parts.held_out, int(vocabulary or 0), dtype or "", parts.told)
