"""Which files a corpus is read from, and which of them are on what side by their names."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from polybench.corpora.reading import readable
from polybench.errors import A_LINE, Unsupported, in_short

# Words in the names of files and folders that say which split it is.
_TRAIN, _TEST = ("train", "training"), ("test",)
_VALIDATION = ("val", "valid", "validation", "dev", "eval", "heldout")
_SPLITS = (*_VALIDATION, *_TEST, *_TRAIN)


@dataclass(frozen=True)
class Parts:
    """Files by the side that their names say; without any that is held out, the text is divided here."""

    train: tuple[Path, ...]
    held_out: tuple[Path, ...] = ()
    told: str = ""


def matching(path: str, endings: tuple[str, ...]) -> list[Path]:
    """Files of a path or glob, in order; a folder stands for all files in it, at any depth, with such an ending.

    What is there under that very name is no glob.

    Raises:
        Unsupported: there is none.
    """
    found: set[Path] = set()
    for one in [Path(path)] if os.path.exists(path) else map(Path, glob(path, recursive=True)):
        if one.is_file():
            found.add(one)
        elif one == Path(path) and one.is_dir():
            found |= {f for f in one.rglob("*") if f.name.endswith(endings) and endings and f.is_file()}
    if not any(map(_is_data, found)):
        inside = (
            f"no {' or '.join(endings)} in {in_short(path, A_LINE)}"
            if os.path.isdir(path)
            else f"no file matches {in_short(path, A_LINE)}"
        )
        raise Unsupported(f"{inside} (looked from {Path.cwd()})")
    return sorted(filter(_is_data, found))


def below(root: Path, ending: str) -> list[Path]:
    """All files of a folder with an ending, at any depth, in order."""
    return sorted(file for file in root.rglob(f"*{ending}") if _is_data(file))


def sided(path: str, files: Sequence[Path]) -> Parts:
    """Files by what they or their folders below `path` are called; the innermost name that says it counts.

    Held out are those for validation, else those for a test; where there are both, tests are left aside. Files that
    say nothing are trained on. Where nothing would be trained on, names do not count.
    """
    base = _base(path)
    split = {file: _split(file.relative_to(base) if file.is_relative_to(base) else Path(file.name)) for file in files}
    words = set(split.values())
    held = words & set(_VALIDATION) or words & set(_TEST)
    aside = words & set(_TEST) - held
    train = tuple(file for file in files if split[file] not in held | aside)
    if not held or not train:
        return Parts(tuple(files))
    counts = Counter(split.values())
    told = [_told(sum(counts[word] for word in words - held - aside), "trained on")]
    told += [_told(counts[word], f"of {word} held out") for word in sorted(held)]
    told += [_told(counts[word], f"of {word} left aside") for word in sorted(aside)]
    return Parts(train, tuple(file for file in files if split[file] in held), ", ".join(told))


def stamp(files: Iterable[Path], *more: str) -> str:
    """A hash of where files are, their sizes and times of change: equal as long as none was written to."""
    digest = hashlib.sha256(json.dumps(more).encode())
    for file in files:
        with readable(file):
            s = file.stat()
        names = f"{file.absolute()}\0{file.resolve()}"  # a link's own name says on which side it is
        digest.update(f"\n{names}\0{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}".encode("utf-8", "replace"))
    return digest.hexdigest()[:16]


def _is_data(file: Path) -> bool:
    """Not what macOS keeps beside a file on other file systems: its attributes, under the same ending."""
    return not file.name.startswith("._")


def _base(path: str) -> Path:
    """The folder that a path or glob names for certain."""
    if os.path.exists(path):
        return Path(path) if Path(path).is_dir() else Path(path).parent
    parts = Path(path).parts
    return Path(*parts[: next((i for i, part in enumerate(parts) if has_magic(part)), len(parts) - 1)])


def _split(name: Path) -> str:
    """The word that says the split, of the innermost part of a path that has one."""
    for part in reversed(name.parts):
        words = re.split(r"[^a-z]+", re.sub(r"held[^a-z]out", "heldout", part.lower()))
        for word in _SPLITS:
            if word in words:
                return word
    return ""


def _told(count: int, what: str) -> str:
    return f"{count} file{'s' * (count != 1)} {what}"
