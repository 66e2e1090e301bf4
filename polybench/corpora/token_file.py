"""A file of token ids: its format by its first bytes, then by its ending, and what is wrong with it.

Formats: llm.c's (karpathy/llm.c@16635d4, dev/data/data_common.py; modded-nanogpt writes the same): 256 x int32,
of which the first are magic, version and number of tokens, then the ids; NumPy's .npy; nanoGPT's
(karpathy/nanoGPT@04cc18e, data/openwebtext/prepare.py): nothing but uint16.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from polybench.corpora.reading import head, stamp
from polybench.errors import Unsupported
from polybench.files import write_whole

if TYPE_CHECKING:
    import numpy as np

# Dimension key: N tokens of a file.

_HEADER = 256 * 4  # bytes
# magic: (version, type of an id, the id between documents: <|endoftext|> of GPT-2, <|begin_of_text|> of Llama 3)
_LLM_C = {20240520: (1, "<u2", 50256), 20240801: (7, "<u4", 128000)}
_EXAMPLES = 20240522  # llm.c's multiple-choice examples, which are no stream
_CHUNK = 1 << 19  # tokens


@dataclass(frozen=True)
class TokenFile:
    """Where the ids are: `count` of type `dtype` from byte `offset`; `delimiter` is the id between documents."""

    file: Path
    dtype: str
    offset: int
    count: int
    delimiter: int | None = None

    @classmethod
    def of(cls, file: Path) -> TokenFile:
        """What a file holds, by its format.

        Raises:
            Unsupported: it has no known format, is empty, shorter than it says, or holds no whole numbers.
        """
        start, size = head(file), file.stat().st_size
        if not size:
            raise Unsupported(f"{file} is empty")
        magic = int.from_bytes(start[:4], "little")
        if magic in _LLM_C:
            return _llm_c(file, magic, start, size)
        if magic == _EXAMPLES:
            raise Unsupported(f"{file} holds llm.c's multiple-choice examples, not a stream of tokens")
        if start.startswith(b"\x93NUMPY"):
            return _npy(file, size)
        if file.suffix != ".bin":
            raise Unsupported(
                f"{file} is no token shard: it begins neither as llm.c's .bin nor as .npy, and is no .bin"
            )
        if size % 2:
            raise Unsupported(
                f"{file} has {size} bytes, an odd number, so its last uint16 at byte {size - 1} is cut off"
            )
        return cls(file, "<u2", 0, size // 2)

    def at(self, index: int) -> str:
        """The place of an id, for people."""
        import numpy as np

        return f"{self.file}, byte {self.offset + index * np.dtype(self.dtype).itemsize} (token {index})"

    def chunks(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """(index of the first, ids) of pieces of the file, each good until the next one is asked for.

        They are read and not mapped, into one buffer, so that memory stays flat.
        """
        import numpy as np

        size = np.dtype(self.dtype).itemsize
        buffer = memoryview(bytearray(_CHUNK * size))
        with self.file.open("rb", buffering=0) as stream:
            stream.seek(self.offset + start * size)
            while start < self.count:
                got = stream.readinto(buffer[: min(_CHUNK, self.count - start) * size]) // size
                if not got:
                    raise Unsupported(f"{self.at(start)}: the file became shorter while it was read")
                yield start, np.frombuffer(buffer, self.dtype, got)
                start += got


@dataclass(frozen=True)
class Content:
    """What reading a whole shard tells: a hash of its ids, and the least and the largest of them."""

    sha256: str
    least: int
    largest: int


def _llm_c(file: Path, magic: int, start: bytes, size: int) -> TokenFile:
    version, dtype, delimiter = _LLM_C[magic]
    found, count = (int.from_bytes(start[at : at + 4], "little", signed=True) for at in (4, 8))
    if found != version:
        raise Unsupported(f"{file}, byte 4: version {found} of the format {magic}, of which {version} is known")
    there = (size - _HEADER) // int(dtype[-1])
    if size < _HEADER or there < count or count < 1:
        told = f"{there} fit into its {size} bytes" if size >= _HEADER else f"it ends inside its header, at byte {size}"
        raise Unsupported(f"{file}, byte 8: its header says {count} tokens, but {told}")
    return TokenFile(file, dtype, _HEADER, count, delimiter)


def _npy(file: Path, size: int) -> TokenFile:
    import numpy as np

    with file.open("rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        except ValueError as problem:
            raise Unsupported(f"{file} has a damaged .npy header: {problem}") from None
        offset = stream.tell()
    if dtype.kind not in "ui":
        raise Unsupported(f"{file} holds {dtype}, but token ids are whole numbers; save it as uint16 or uint32")
    if len(shape) != 1:
        raise Unsupported(f"{file} has the shape {shape}, but a stream of tokens has one dimension; flatten it")
    there = (size - offset) // dtype.itemsize
    if there < shape[0] or not shape[0]:
        raise Unsupported(f"{file}: its header says {shape[0]} tokens, but {there} fit into its {size} bytes")
    return TokenFile(file, dtype.str, offset, int(shape[0]))


def content(it: TokenFile, cache: Path) -> Content:
    """What the shard holds, read through once; later asked of `cache` by path, size and times of change."""
    from filelock import FileLock

    path = cache / f"{stamp([it.file], 'shard')}.json"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        try:
            return Content(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            pass  # missing or damaged: read anew
        digest, least, largest = hashlib.sha256(it.dtype.encode()), 0, 0
        for _, ids_N in it.chunks():
            digest.update(ids_N.data)
            least, largest = min(least, int(ids_N.min())), max(largest, int(ids_N.max()))
        read = Content(digest.hexdigest(), least, largest)
        write_whole(path, json.dumps(asdict(read)))
    return read


def check_ids(it: TokenFile, known: Content, vocabulary: int) -> None:
    """Raises Unsupported where an id is no member of the vocabulary, with its place."""
    import numpy as np

    if known.least >= 0 and known.largest < vocabulary:
        return
    for first, ids_N in it.chunks():
        wrong = np.flatnonzero((ids_N < 0) | (ids_N >= vocabulary))
        if len(wrong):
            index = int(wrong[0])
            raise Unsupported(
                f"{it.at(first + index)}: the id {ids_N[index]} is beyond a vocabulary of {vocabulary}; "
                f"the largest of the file is {known.largest}"
            )


def cut(it: TokenFile, at: int) -> int:
    """The first document end from token `at` on, in the nearer half of what is left; else `at` itself."""
    import numpy as np

    if it.delimiter is not None:
        for first, ids_N in it.chunks(at):
            found = np.flatnonzero(ids_N == it.delimiter)
            if len(found) or first + len(ids_N) > (at + it.count) // 2:
                index = first + int(found[0]) if len(found) else it.count
                return index if index <= (at + it.count) // 2 else at
    return at
