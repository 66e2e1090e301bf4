"""What counts as registered: the built-in extensions by folder, and plug-ins by either name of a registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from polybench import registry
from polybench.registry import REGISTRIES, Registry

FORMER = """
from polybench.registry import {former}

@{former}.register("mine", suffix=".mine")
def mine(document):
    "One of somebody's own."
"""


@pytest.mark.parametrize("each", REGISTRIES, ids=lambda r: r.name)
def test_every_file_of_its_folder_that_registers_something_is_listed(each: Registry) -> None:
    folder = Path(registry.__file__).parent / each.folder
    registering = {p.name for p in folder.glob("*.py") if f"@{each.name}.register(" in p.read_text(encoding="utf-8")}
    assert registering == {Path(entry.origin).name for entry in each.entries().values()}
    assert all(each.load(name).object for name in each.names())


@pytest.mark.parametrize(("former", "now"), [("benchmarks", registry.kinds), ("reports", registry.formats)])
def test_a_plug_in_that_says_the_former_name_is_found(former: str, now: Registry, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FORMER.format(former=former), encoding="utf-8")
    (entry,) = registry._read(tmp_path / "mine.py", "mine", "a plug-in")
    assert (entry.registry, entry.name, entry.error) == (now.name, "mine", "")
    assert getattr(registry, former) is now
