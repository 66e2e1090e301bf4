"""A source tree that need not be installed: what its pyproject.toml names under the entry-point group."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from polybench.errors import RegistryError

TREE = "POLYBENCH_TREE"  # variable: the tree whose extensions count, whatever of the same name is installed
PROJECT = "pyproject.toml"


@dataclass(frozen=True)
class SourceTree:
    """A folder with a pyproject.toml: the name of its distribution, and its modules by the names of entry points."""

    path: Path
    distribution: str
    modules: Mapping[str, str]

    @classmethod
    def read(cls, path: Path, group: str) -> SourceTree:
        """The tree at a path; without a pyproject.toml it names nothing. Raises RegistryError where that is damaged."""
        file = path / PROJECT
        try:
            project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
            modules = {
                str(k): str(v).partition(":")[0] for k, v in project.get("entry-points", {}).get(group, {}).items()
            }
            return cls(path, one_name(str(project.get("name", ""))), modules)
        except FileNotFoundError:
            return cls(path, "", {})
        except (OSError, ValueError, AttributeError) as problem:
            raise RegistryError(f"{file} cannot be read: {problem}") from None

    @classmethod
    def of_variable(cls, group: str) -> SourceTree | None:
        """The one that the environment names, if any. Raises RegistryError as `read`, and where there is no project."""
        path = os.environ.get(TREE)
        if path and not os.path.isfile(os.path.join(path, PROJECT)):
            raise RegistryError(f"{TREE}={path} names no folder with a {PROJECT}; unset it, or name one")
        return cls.read(Path(path), group) if path else None

    @property
    def paths(self) -> tuple[str, ...]:
        """Where its modules are imported from: src in it, where there is one, then itself."""
        return tuple(str(p) for p in (self.path / "src", self.path) if p.is_dir())


def one_name(distribution: str) -> str:
    """The name of a distribution as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
