"""What a corpus is made of: documents to be tokenized, or files of tokens; and how a suite names one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from polybench.corpora.finding import Parts, matching
from polybench.errors import RegistryError, TrialError, in_short
from polybench.registry import corpora


@dataclass(frozen=True)
class Documents:
    """Documents that are read when they are needed, and the files that they depend on.

    A source of `held_out` documents of its own has the sides that it says, and `told` says what was taken for them;
    any other is divided by `sides.divided`.
    """

    files: Sequence[Path]
    read: Callable[[], Iterable[bytes]]
    held_out: Callable[[], Iterable[bytes]] | None = None
    told: str = ""

    @classmethod
    def of(cls, parts: Parts, read: Callable[[Sequence[Path]], Iterable[bytes]]) -> Documents:
        """What `read` finds in the files of either side."""
        held_out = (lambda: read(parts.held_out)) if parts.held_out else None
        return cls((*parts.train, *parts.held_out), lambda: read(parts.train), held_out, parts.told)


@dataclass(frozen=True)
class TokenFiles:
    """Files of token ids; `held_out` may be empty, and `told` says what was taken for it.

    `vocabulary` 0 is to be found from the largest id. `dtype` is the type of an id where the files do not say it.
    """

    train: tuple[Path, ...]
    held_out: tuple[Path, ...]
    vocabulary: int = 0
    dtype: str = ""
    told: str = ""


@dataclass(frozen=True)
class CorpusName:
    """A corpus as a suite writes it: `name`, `name:path/or/glob`, or `name:path#option`."""

    name: str
    path: str = ""
    option: str = ""

    @classmethod
    def parse(cls, text: str) -> CorpusName:
        """Read and check a name by what its source declares: takes_path, and option as (meaning, pattern).

        Raises:
            ValueError: no such corpus, a path too many or too few, or an option of the wrong form.
        """
        name, _, rest = (part.strip() for part in text.partition(":"))
        try:
            facts = corpora.entry(name).facts
        except RegistryError as problem:
            raise ValueError(str(problem)) from None
        meaning, pattern = facts.get("option") or ("", "")
        written = f"{name}: path/or/glob" + (f", or path#{meaning}" if meaning else "")
        path, sharp, option = rest.rpartition("#") if meaning and "#" in rest else (rest, "", "")
        if sharp and (os.path.exists(rest) or (("/" in option or has_magic(option)) and glob(rest, recursive=True))):
            path, sharp, option = rest, "", ""  # what is there under that very name is a path
        if bool(facts.get("takes_path")) != bool(path):
            raise ValueError(
                f"corpus {in_short(name)} {f'is written {written}' if facts.get('takes_path') else 'takes no path'}"
            )
        if sharp and not re.fullmatch(pattern, option):
            raise ValueError(f"corpus {in_short(name)} is written {written}, which {in_short(option)} cannot be")
        return cls(name, path, option)

    def check_files(self) -> None:
        """Raises ValueError when no file is there to be read."""
        if self.path:
            try:
                matching(self.path, corpora.entry(self.name).facts.get("endings", ()))
            except (TrialError, OSError) as problem:
                raise ValueError(str(problem)) from None

    def __str__(self) -> str:
        return self.name + (f":{self.path}" if self.path else "") + (f"#{self.option}" if self.option else "")

    def source(self) -> Documents | TokenFiles:
        """What it is made of. Raises Unsupported when it is not there, RegistryError when it is unknown."""
        load: Any = corpora.load(self.name).object
        made = load(*filter(None, (self.path, self.option)))
        return made if isinstance(made, Documents | TokenFiles) else Documents((), lambda: made)


def corpora_of(text: str) -> list[str]:
    """Corpora joined by +, which a path may hold too: what stands behind one that joins looks like a name."""
    return re.split(r"\+(?=[A-Za-z][\w-]*(?:[:+]|$))", text) if text else []
