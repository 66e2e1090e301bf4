"""The shape of the house: a folder imports only the folders named here, and the cold half never needs torch."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "polybench"
# Folder: what it may import beside itself and the words at the root.
MAY = {
    **dict.fromkeys(("", "activations", "kernels/gpu", "machine", "plan", "report/formats", "report/loggers"), ""),
    "kernels": "kernels/gpu",
    "corpora": "machine",
    "tasks": "corpora",
    "measure": "corpora",
    "measure/model": "measure",
    "measure/backends": "measure/model activations kernels",
    "measure/instruments": "measure measure/model machine",
    "measure/training": "measure measure/model measure/instruments corpora",
    "measure/approximation": "measure measure/model",
    "measure/vision": "measure measure/model measure/instruments corpora",
    "measure/kinds": "measure measure/model measure/instruments measure/training measure/approximation measure/vision "
    "corpora",
    "run": "plan machine",
    "compare": "plan run machine measure measure/kinds",
    "report": "plan run compare machine measure measure/kinds",
    "report/outlets": "plan compare report/formats",
}
MAY["cli"] = " ".join(MAY)
HOT = {
    *("activations", "kernels", "kernels/gpu", "measure/model", "measure/backends"),
    *("measure/instruments", "measure/training", "measure/approximation", "measure/vision"),
}
HEAVY = {"torch", "numpy", "scipy", "pandas", "matplotlib"}
DOORS = {PACKAGE / "__init__.py", PACKAGE / "__main__.py"}
FILES = sorted(set(PACKAGE.rglob("*.py")) - DOORS)
COLD = [p for p in FILES if p.parent.relative_to(PACKAGE).as_posix() not in HOT]


def folder(path: Path) -> str:
    return path.parent.relative_to(PACKAGE).as_posix().removeprefix(".")


def imports(path: Path, top_only: bool = False) -> set[str]:
    """Dotted names that a file imports anywhere, also for a type checker alone; or as soon as it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def own(names: set[str]) -> set[Path]:
    """Which of them are files of polybench."""
    files = {PACKAGE.parent / Path(*name.split(".")).with_suffix(".py") for name in names}
    return files & set(FILES)


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_every_folder_has_its_row() -> None:
    assert {folder(path) for path in FILES} == set(MAY)


def test_the_rule_has_no_circle() -> None:
    graphlib.TopologicalSorter({f: set(may.split()) - {f} for f, may in MAY.items()}).prepare()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_folder_imports_what_its_row_names(path: Path) -> None:
    allowed = {"", folder(path), *MAY[folder(path)].split()}
    assert not {name_of(other) for other in own(imports(path)) if folder(other) not in allowed}


def test_imports_at_the_top_have_no_circle() -> None:
    graphlib.TopologicalSorter({path: own(imports(path, top_only=True)) - {path} for path in FILES}).prepare()


@pytest.mark.parametrize("path", COLD, ids=name_of)
def test_cold_files_load_nothing_heavy(path: Path) -> None:
    top = imports(path, top_only=True)
    assert not HEAVY & {name.split(".")[0] for name in top}
    assert not HOT & {folder(other) for other in own(top)}


def test_the_cold_half_runs_without_torch_installed() -> None:
    """Every cold module is imported in a process where torch cannot be."""
    cold = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in COLD]
    code = f"import sys, importlib\nsys.modules['torch'] = None\nfor name in {cold!r}: importlib.import_module(name)\n"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
