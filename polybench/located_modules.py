"""Where the source of a module lies, known without importing it or any of its parents."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path


def located(module: str, where: list[str] | None = None) -> list[tuple[Path, str]]:
    """Source files of a module, found without importing it or any of its parents."""
    spec = None
    parts = module.split(".")
    for depth in range(len(parts)):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[: depth + 1]), where)
        if spec is None and where is None:
            # An editable install may have put a finder of its own beside.
            specs = (finder.find_spec(parts[0], None) for finder in sys.meta_path)
            spec = next((found for found in specs if found and found.has_location), None)
        if spec is None:
            return []
        where = list(spec.submodule_search_locations or [])
    assert spec is not None
    if where:
        return [
            (path, module if path.stem == "__init__" else f"{module}.{path.stem}")
            for folder in where
            for path in sorted(Path(folder).glob("*.py"))
        ]
    return [(Path(spec.origin), module)] if spec.origin else []
