"""Files of token ids that others have tokenized."""

from __future__ import annotations

from polybench.corpora.reading import is_held_out, matching
from polybench.corpora.source import TokenFiles
from polybench.errors import Unsupported
from polybench.registry import corpora


@corpora.register(
    "tokens", source="nanoGPT, llm.c and modded-nanogpt .bin, or NumPy .npy", takes_path=True,
    option=("vocabulary size", r"[1-9][0-9]*"), endings=(".bin", ".npy"),
)  # fmt: skip
def tokens(path: str, vocabulary: str = "0") -> TokenFiles:
    """Token shards of nanoGPT, llm.c, modded-nanogpt or NumPy, memory-mapped; tokens:path#50304 says how many ids."""
    files = matching(path, corpora.entry("tokens").facts["endings"])
    held = tuple(f for f in files if is_held_out(f))
    train = tuple(f for f in files if f not in held)
    if not train:
        raise Unsupported(f"all files of {path!r} are called validation, as {held[0].name}; none is to train on")
    return TokenFiles(train, held, int(vocabulary))
