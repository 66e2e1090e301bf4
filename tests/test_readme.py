"""The README's numbers are those of the published run, and its commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import typer.main

from polybench.cli.main import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / ".ci" / "readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_made_from_the_published_run() -> None:
    made = generator()
    assert made.placed(README, made.section(made.document())) == README


def test_every_command_it_shows_exists() -> None:
    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    shown = set(re.findall(r"^polybench (\w+)", "".join(README.split("```")[1::2]), re.MULTILINE))
    assert shown
    assert shown <= known


def test_every_picture_and_file_it_names_is_there() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()
    for path in (
        "suites/schema.json",
        "results/README.md",
        "tests/plugin/pyproject.toml",
        "results/baselines/quick/run.json",
    ):
        assert (ROOT / path).is_file()
