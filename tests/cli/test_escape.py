"""Packages of others that would end polybench: their own failure is theirs, the exit code is ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import exact, run, save

ROOT = Path(__file__).parents[2]
KIND = """
from polybench.kind import Axes, Protocol
from polybench.registry import kinds

@kinds.register("theirs", axes=Axes, protocol=Protocol, metrics=(), version=1, repeats="seeds",
                seconds=lambda axes, protocol: {call})
def theirs(trials, axes, protocol):
    "A kind."

{module}
"""
FORMAT = """
from polybench.registry import formats

@formats.register("theirs", suffix=".theirs")
def theirs(document):
    "A format."
    {call}

{module}
"""
SUITE = """
suite: small
activations: [relu]
reference: relu
benchmarks: [{name: theirs, kind: theirs}]
"""
ENDINGS = ["sys.exit(1)", "sys.exit(0)", "sys.exit()", "raise KeyboardInterrupt", "raise GeneratorExit"]


def polybench(folder: Path, source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process that has the package `theirs`."""
    site = folder / "site"
    info = site / "theirs-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / "theirs_module.py").write_text(f"import sys\n{source}", encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[polybench]\ntheirs = theirs_module\n", encoding="utf-8")
    (folder / "small.yaml").write_text(SUITE, encoding="utf-8")
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (site, ROOT)))}
    command = [sys.executable, "-m", "polybench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=where, check=False)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_kind_that_ends_the_program_is_named(ending: str, tmp_path: Path) -> None:
    """When it is imported, and when it is asked for a guess."""
    called = f"(_ for _ in ()).throw({ending.removeprefix('raise ')})" if ending.startswith("raise") else ending
    for source in (KIND.format(module=ending, call="1.0"), KIND.format(module="", call=called)):
        done = polybench(tmp_path, source, "plan", "small.yaml")
        assert done.returncode == 2, done
        assert "theirs" in done.stderr and "would end the program" in done.stderr


@pytest.mark.parametrize("ending", ["sys.exit(1)", "raise KeyboardInterrupt", "raise GeneratorExit", "1 / 0"])
def test_a_format_that_ends_the_program_spoils_no_other(ending: str, tmp_path: Path) -> None:
    folder = save(run(exact({"relu": 1, "swiglu": 2})), tmp_path / "run")
    done = polybench(tmp_path, FORMAT.format(call=ending, module=""), "report", "run")
    assert done.returncode == 0, done
    assert "cannot be made into theirs" in done.stderr
    assert {p.suffix for p in folder.glob("report.*")} == {".html", ".md", ".json", ".gz"}
    asked = polybench(tmp_path, FORMAT.format(call=ending, module=""), "report", "run", "--format", "theirs")
    assert asked.returncode == 2, asked
