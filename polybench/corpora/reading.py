"""What every source reads by: what a file begins with, its bytes unpacked, and when that is damaged or too much."""

from __future__ import annotations

import zlib
from codecs import getincrementaldecoder
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from polybench.errors import TrialError, Unsupported, refusal

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # RFC 1952, RFC 8878
# What a file that begins so is, and what to do with it. The numbers are llm.c's (karpathy/llm.c@16635d4).
_FOREIGN = {
    b"PK\x03\x04": "a zip archive, as PyTorch and NumPy also write; unpack it",
    b"BZh91AY&SY": "packed by bzip2; unpack it",
    b"\xfd7zXZ\x00": "packed by xz; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"\x80\x04\x95": "a pickle, which is never opened",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"GGUF": "weights of llama.cpp",
    b"MMIDIDX\x00\x00": "the index of Megatron's tokens; name the .bin beside it",
    b"\x00\x05\x16\x07": "what macOS keeps beside a file, with none of its content",
    **{
        number.to_bytes(4, "little"): f"llm.c's {what}"
        for number, what in {
            20240326: "weights", 20240327: "state for debugging", 20240328: "tokenizer",
            20240522: "multiple-choice examples",
        }.items()
    },
}  # fmt: skip
_OTHERS = {b"PAR1": "parquet", b"\x93NUMPY": "tokens", b"ARROW1": "dataset"}
BOM = b"\xef\xbb\xbf"  # what some editors begin a file in UTF-8 with; no part of its text
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_CHUNK = 1 << 20  # bytes
_PACKED = 1 << 9  # bytes that are unpacked at a time: 4 of Zstandard may stand for 128 KiB, so these for 16 MiB
_WINDOW = 1 << 31  # bytes that Zstandard may look back: the most that zstd --long=31 writes
INSTALL = "pip install 'torch-polybench[corpora]'"


def head(file: Path, size: int = 16) -> bytes:
    """The first bytes, by which formats are told apart. Raises Unsupported where the file cannot be read."""
    with readable(file), file.open("rb") as stream:
        return stream.read(size)


def check_known(file: Path, start: bytes, wanted: str, corpus: str, packed: bool = False) -> None:
    """Raises Unsupported where a file begins as something else than what is wanted, which may be packed or not."""
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise Unsupported(f"{file} is no {wanted} but {what}")
    for magic, other in _OTHERS.items():
        if start.startswith(magic) and other != corpus:
            raise Unsupported(f"{file} is no {wanted}: it begins as a file for the corpus {other}:")
    if start.startswith((GZIP, ZSTD)) and not packed:
        raise Unsupported(f"{file} is packed by {'gzip' if start.startswith(GZIP) else 'Zstandard'}; unpack it")


def not_empty(files: Iterable[Path]) -> list[Path]:
    """Files that hold something. Raises Unsupported when there is none."""
    every = list(files)
    found = []
    for file in every:
        with readable(file):
            if file.stat().st_size:
                found.append(file)
    if every and not found:
        raise Unsupported(f"{every[0]} is empty" + (f", as are {len(every) - 1} more" if len(every) > 1 else ""))
    return found


def content(file: Path) -> bytes:
    """The whole file, unpacked. Raises Unsupported as `chunks`."""
    return b"".join(chunks(file))


def chunks(file: Path) -> Iterator[bytes]:
    """The bytes of a file of text in pieces, unpacked if the first say gzip or Zstandard, whatever it is called.

    Raises:
        Unsupported: it cannot be read, is damaged, cut off, no text but a known format, more than memory holds, or
            zstandard is not installed.
    """
    start = head(file)
    check_known(file, start, "text", "text", packed=True)
    if start.startswith(_UTF_16) or _every_other_is_nothing(start):
        raise Unsupported(f"{file} is text in UTF-16; write it as UTF-8")
    with readable(file):
        yield from limited(_unpacked(file, start), str(file))


def in_utf_8(file: Path) -> bytes:
    """The whole file, in UTF-8. Raises Unsupported as `chunks`, and where it is written otherwise."""
    pieces, decoder, done = list(chunks(file)), getincrementaldecoder("utf-8")(), 0
    for index, piece in enumerate(pieces, 1):
        held = len(decoder.getstate()[0])  # the beginning of a character, of the piece before
        try:
            decoder.decode(piece, final=index == len(pieces))
        except UnicodeDecodeError as problem:
            where = f"{problem.reason} at byte {done - held + problem.start}"
            told = f"{file} is no text in UTF-8: {where}; write it as UTF-8, as by iconv -f LATIN1 -t UTF-8"
            raise Unsupported(told) from None
        done += len(piece)
    return b"".join(pieces)


def _every_other_is_nothing(start: bytes) -> bool:
    """Whether bytes are text in UTF-16 without a mark: of Latin letters, one of two bytes is 0."""
    return len(start) >= 8 and any(any(start[1 - i :: 2]) and not any(start[i::2]) for i in (0, 1))


def limited(pieces: Iterable[bytes], where: str) -> Iterator[bytes]:
    """The same pieces, as long as they make no more than half of the memory. Raises Unsupported beyond."""
    most, size = _most(), 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            raise Unsupported(
                f"more than {most / 2**30:.1f} GiB of text come out of {where}, half of the memory here; "
                "tokenize it and name it as tokens: path"
            )
        yield piece


def lines(file: Path) -> Iterator[bytes]:
    """Lines without their ends, of a file that may be packed."""
    rest: list[bytes] = []  # of the line that has not ended
    for piece in chunks(file):
        first, *more = piece.split(b"\n")
        rest.append(first)
        if more:
            yield b"".join(rest)
            yield from more[:-1]
            rest = [more[-1]]
    if any(rest):
        yield b"".join(rest)


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """What the system refuses, and memory, becomes one sentence; of what may pass no Unsupported."""
    try:
        yield
    except OSError as problem:
        raise refusal(problem, f"{file} cannot be read: {problem.strerror or problem}") from None
    except MemoryError:
        raise TrialError(f"{file} takes more memory than there is") from None


def _unpacked(file: Path, start: bytes) -> Iterator[bytes]:
    with file.open("rb") as stream:
        if not start.startswith((GZIP, ZSTD)):
            while piece := stream.read(_CHUNK):
                yield piece
            return
        unpacker = None
        while piece := stream.read(_PACKED):
            while piece := piece if unpacker else piece.lstrip(b"\0"):  # members are padded with zeros
                try:
                    unpacker = unpacker or _unpacker(start)
                    out = unpacker.decompress(piece)
                except Exception as problem:
                    if isinstance(problem, Unsupported | MemoryError):
                        raise
                    raise Unsupported(f"{file} is damaged before byte {stream.tell()}: {problem}") from None
                yield out
                piece = b""
                if unpacker.eof:  # another member may follow
                    piece, unpacker = unpacker.unused_data, None
        if unpacker:
            raise Unsupported(f"{file} is cut off at byte {stream.tell()}: its compressed data do not end")


def _unpacker(start: bytes) -> Any:
    """An object with decompress, eof and unused_data, for one member or frame."""
    if start.startswith(GZIP):
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        import zstandard
    except ImportError:
        raise Unsupported(f"a Zstandard file needs the zstandard package: {INSTALL}") from None
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


@cache
def _most() -> int:
    """Bytes of text that are taken at most: they stay in memory while they are tokenized."""
    from polybench.machine.container import limits
    from polybench.machine.hardware import memory

    whole = memory().total
    return min(whole, limits().memory or whole) // 2
