"""A file of token ids: its format by its first bytes, then by its ending, and what is wrong with it.

Formats: llm.c's (karpathy/llm.c@16635d4, dev/data/data_common.py; modded-nanogpt writes the same): 256 x int32,
of which the first are magic, version and number of tokens, then the ids; NumPy's .npy; nanoGPT's
(karpathy/nanoGPT@04cc18e, data/openwebtext/prepare.py): nothing but ids, uint16 unless another type is said.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from polybench.cache import locked
from polybench.corpora.finding import stamp
from polybench.corpora.reading import check_known, head
from polybench.errors import Unsupported
from polybench.files import write_whole

if TYPE_CHECKING:
    import numpy as np

# Dimension key: N tokens of a file.

_HEADER = 256 * 4  # bytes
# magic: (version, type of an id, the id between documents: <|endoftext|> of GPT-2, <|begin_of_text|> of Llama 3)
_LLM_C = {20240520: (1, "<u2", 50256), 20240801: (7, "<u4", 128000)}
_LOOKED_AT = 1 << 17  # bytes of a file that does not say its type, by which it is guessed
_FEWEST = 64  # bytes from which on there is something to be guessed
_CHANCE = 1e-9  # that ids which are as long as they say look like longer ones
_LARGEST_HIGH = 16  # upper half of a 32-bit id: no vocabulary has more than 2^20 ids
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
    def of(cls, file: Path, dtype: str = "") -> TokenFile:
        """What a file holds, by its format; `dtype`, such as int32, says the type where the file does not.

        Raises:
            Unsupported: it has no known format, is empty, shorter than it says, holds no whole numbers, or of another
                type than is said.
        """
        start, size = head(file, _LOOKED_AT), file.stat().st_size
        if not size:
            raise Unsupported(f"{file} is empty")
        magic = int.from_bytes(start[:4], "little")
        if magic in _LLM_C:
            return _as_said(_llm_c(file, magic, start, size), dtype)
        if start.startswith(b"\x93NUMPY"):
            return _as_said(_npy(file, size), dtype)
        check_known(file, start, "token file", "tokens")
        if file.suffix != ".bin":
            raise Unsupported(
                f"{file} is no token shard: it begins neither as llm.c's .bin nor as .npy, and is no .bin"
            )
        return _raw(file, start, size, dtype)

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


def _raw(file: Path, start: bytes, size: int, dtype: str) -> TokenFile:
    """Ids without a header, of the type that is said, else uint16 unless they look like wider ones."""
    import numpy as np

    type_ = np.dtype(dtype or "uint16").newbyteorder("<")
    wider = "" if dtype else _looks_like(start, size)
    if wider:
        raise Unsupported(
            f"{file} looks like {wider}, but says no type and would be read as uint16; "
            f"name it as tokens:{file}#{wider.split()[-1]} (or #uint16 if that is what it is)"
        )
    if size % type_.itemsize:
        at = size - size % type_.itemsize
        what = f"has {size} bytes, an odd number," if type_.itemsize == 2 else f"has {size} bytes,"
        raise Unsupported(f"{file} {what} so its last {type_.name} at byte {at} is cut off")
    return TokenFile(file, type_.str, 0, size // type_.itemsize)


def _looks_like(start: bytes, size: int) -> str:
    """The wider type that ids without a header seem to have: their upper halves are small or those of -1."""
    import numpy as np

    if size % 4 or len(start) < _FEWEST:
        return ""
    pairs_Nx2 = np.frombuffer(start[: len(start) // 4 * 4], "<u2").reshape(-1, 2)
    low_N, high_N = pairs_Nx2[:, 0], pairs_Nx2[:, 1]

    for most in (0, _LARGEST_HIGH):
        if _only(high_N, low_N, most):
            return "int64" if not size % 8 and not high_N.any() and not low_N[1::2].any() else "int32"
        if _only(low_N, high_N, most):
            return "big-endian 32-bit ids; turn them round or"
    return ""


def _only(half_N: np.ndarray, other_N: np.ndarray, most: int) -> bool:
    """Whether all of one half are small or of -1, where by the other half's share of these that is no chance."""
    small_N, others_N = ((one_N <= most) | (one_N == 0xFFFF) for one_N in (half_N, other_N))
    return bool(small_N.all()) and float(others_N.mean()) ** len(half_N) < _CHANCE


def _as_said(it: TokenFile, dtype: str) -> TokenFile:
    import numpy as np

    if dtype and np.dtype(it.dtype).newbyteorder("=") != np.dtype(dtype):
        raise Unsupported(f"{it.file} says itself that its ids are {np.dtype(it.dtype).name}; leave #{dtype} away")
    return it


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
    name = stamp([it.file], f"shard {it.dtype}")
    path = cache / f"{name}.json"
    with locked(cache, name, "tokens"):
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
