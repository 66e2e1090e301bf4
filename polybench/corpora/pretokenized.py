"""Token shards as a corpus: both streams on disk, the vocabulary, and a hash that is not worked out twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from polybench.cache import cache_folder, locked
from polybench.corpora.reading import not_empty
from polybench.corpora.source import TokenFiles
from polybench.corpora.stream import Mapped, Stream, Tokens, joined
from polybench.corpora.token_file import Content, TokenFile, check_ids, content, cut
from polybench.corpora.token_shingles import shared
from polybench.corpora.tokenizer import of_file
from polybench.errors import Unsupported
from polybench.files import write_whole

# Dimension key: V size of the vocabulary.

_MULTIPLE = 64  # to which the number of ids is rounded up, as nanoGPT and modded-nanogpt pad 50257 to 50304


def pretokenized(source: TokenFiles, tokenizer: str, held_out_share: float, layout: int) -> Tokens:
    """The streams of token files. A tokenizer.json, if named, tells the vocabulary and the bytes of its tokens.

    Held out are the files called validation, else the last share of the tokens, from a document's end on.

    Raises:
        Unsupported: a damaged file, an id beyond the vocabulary, or a tokenizer that would have to be trained.
    """
    train, held_out = (
        [TokenFile.of(file, source.dtype) for file in not_empty(files)] for files in (source.train, source.held_out)
    )
    known = [content(it, cache_folder() / "shards") for it in (*train, *held_out)]
    vocabulary, path, lengths_V, end = source.vocabulary, "", None, None
    if tokenizer.startswith("file:"):
        path = tokenizer.removeprefix("file:")
        coder = of_file(Path(path))
        vocabulary, lengths_V, end = vocabulary or coder.vocabulary, coder.alphabet_lengths(), coder.end
    elif tokenizer != "bytes":
        raise Unsupported(
            f"{source.train[0]} is tokenized already, so {tokenizer} cannot be trained; "
            "leave tokenizer out, or name the file: tokenizer.json that it was made with"
        )
    vocabulary = vocabulary or -(-(max(one.largest for one in known) + 1) // _MULTIPLE) * _MULTIPLE
    for it, one in zip((*train, *held_out), known, strict=True):
        check_ids(it, one, vocabulary)
    if lengths_V is not None:
        lengths_V = _resized(lengths_V, vocabulary)
    train_N, held_out_N = (_whole(train), _whole(held_out)) if held_out else _parted(train, held_out_share)
    name = _hash(known, len(train), vocabulary, layout)
    ends = {it.delimiter if end is None else end for it in (*train, *held_out)}
    repeated = _shared(train_N, held_out_N, ends.pop(), name) if len(ends) == 1 else None
    return Tokens(train_N, held_out_N, lengths_V, name, vocabulary, tokenizer=path, sides=source.told, shared=repeated)


def _shared(train_N: Stream, held_out_N: Stream, end: int | None, name: str) -> float | None:
    """As `token_shingles.shared`, worked out once for what is called so; None where no document's end is known."""
    if end is None:
        return None
    folder = cache_folder() / "shards"
    path = folder / f"{name}-{end}.shared.json"
    with locked(folder, path.stem, "tokens"):
        try:
            found = json.loads(path.read_bytes())
            return None if found is None else float(found)
        except (OSError, ValueError, TypeError):
            pass  # missing or damaged: work it out anew
        found = shared(train_N, held_out_N, end)
        write_whole(path, json.dumps(found))
    return found


def _resized(lengths_V, vocabulary: int):  # type: ignore[no-untyped-def]
    """Ids that no token has stand for no byte."""
    import numpy as np

    resized_V = np.zeros(vocabulary, dtype=lengths_V.dtype)
    resized_V[: len(lengths_V)] = lengths_V[:vocabulary]
    return resized_V


def _hash(known: Sequence[Content], train: int, vocabulary: int, layout: int) -> str:
    parts = [f"{layout} tokens {vocabulary} {train}", *(one.sha256 for one in known)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _mapped(it: TokenFile, start: int, stop: int) -> Mapped:
    return Mapped(it.file, it.dtype, it.offset, start, stop)


def _whole(shards: Sequence[TokenFile]) -> Stream:
    return joined([_mapped(it, 0, it.count) for it in shards])


def _parted(shards: Sequence[TokenFile], share: float) -> tuple[Stream, Stream]:
    """(training, held out): the tokens in order, cut where the last share begins."""
    ends = list(accumulate(it.count for it in shards))
    wanted = int((1 - share) * ends[-1])
    if not wanted:
        raise Unsupported(f"{shards[0].file} holds a single token; it cannot be divided")
    index = next(i for i, end in enumerate(ends) if end > wanted)
    it = shards[index]
    at = cut(it, wanted - (ends[index] - it.count))
    before = [_mapped(one, 0, one.count) for one in shards[:index]] + ([_mapped(it, 0, at)] if at else [])
    after = [_mapped(it, at, it.count), *(_mapped(one, 0, one.count) for one in shards[index + 1 :])]
    return joined(before), joined(after)
