"""Files that a corpus is read from: which they are, what they begin with, and their bytes unpacked."""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import Any

from polybench.errors import Unsupported

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # RFC 1952, RFC 8878
_CHUNK = 1 << 20  # bytes
_HELD_OUT = re.compile(r"(^|[^a-z])(val|valid|validation|held_?out)([^a-z]|$)")
INSTALL = "pip install 'torch-polybench[corpora]'"


def matching(path: str, endings: tuple[str, ...]) -> list[Path]:
    """Files of a path or glob, in order; a folder stands for all files in it, at any depth, with such an ending.

    Raises:
        Unsupported: there is none.
    """
    found: set[Path] = set()
    for one in map(Path, glob(path, recursive=True)):
        if one.is_file():
            found.add(one)
        elif one.is_dir() and not any(c in path for c in "*?["):
            found |= {f for f in one.rglob("*") if f.name.endswith(endings) and endings and f.is_file()}
    if not found:
        inside = f"no {' or '.join(endings)} in {path!r}" if Path(path).is_dir() else f"no file matches {path!r}"
        raise Unsupported(f"{inside} (looked from {Path.cwd()})")
    return sorted(found)


def is_held_out(file: Path) -> bool:
    """Whether a file's name says that it is for validation: val.bin, fineweb_val_000000.bin, validation-0.parquet."""
    return bool(_HELD_OUT.search(file.name.lower()))


def stamp(files: Iterable[Path], *more: str) -> str:
    """A hash of where files are, their sizes and times of change: equal as long as none was written to."""
    digest = hashlib.sha256(json.dumps(more).encode())
    for file in files:
        s = file.stat()
        digest.update(f"\n{file.resolve()}\0{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}".encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def head(file: Path, size: int = 16) -> bytes:
    """The first bytes, by which formats are told apart."""
    with file.open("rb") as stream:
        return stream.read(size)


def content(file: Path) -> bytes:
    """The whole file, unpacked. Raises Unsupported where it is damaged, empty, or no text but a known format."""
    for magic, corpus in ((b"PAR1", "parquet"), (b"\x93NUMPY", "tokens"), (b"ARROW1", "dataset")):
        if head(file).startswith(magic):
            raise Unsupported(f"{file} is no text: it begins as a file for the corpus {corpus}:")
    return b"".join(chunks(file))


def chunks(file: Path) -> Iterator[bytes]:
    """The file's bytes in pieces, unpacked if its first bytes say gzip or Zstandard, whatever it is called.

    Raises:
        Unsupported: it is empty, damaged or cut off, or zstandard is not installed.
    """
    start = head(file)
    if not start:
        raise Unsupported(f"{file} is empty")
    with file.open("rb") as stream:
        if not start.startswith((GZIP, ZSTD)):
            while piece := stream.read(_CHUNK):
                yield piece
            return
        unpacker = None
        while piece := stream.read(_CHUNK):
            while piece:
                try:
                    unpacker = unpacker or _unpacker(start)
                    yield unpacker.decompress(piece)
                except Exception as problem:
                    if isinstance(problem, Unsupported):
                        raise
                    raise Unsupported(f"{file} is damaged before byte {stream.tell()}: {problem}") from None
                piece = b""
                if unpacker.eof:  # another member may follow; zeros are padding
                    piece, unpacker = unpacker.unused_data.lstrip(b"\0"), None
        if unpacker:
            raise Unsupported(f"{file} is cut off at byte {stream.tell()}: its compressed data do not end")


def lines(file: Path) -> Iterator[bytes]:
    """Lines without their ends, of a file that may be packed."""
    rest = b""
    for piece in chunks(file):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _unpacker(start: bytes) -> Any:
    """An object with decompress, eof and unused_data, for one member or frame."""
    if start.startswith(GZIP):
        return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        import zstandard
    except ImportError:
        raise Unsupported(f"a Zstandard file needs the zstandard package: {INSTALL}") from None
    return zstandard.ZstdDecompressor().decompressobj()
