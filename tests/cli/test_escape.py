"""Packages of others that would end polybench: their own failure is theirs, the exit code is ours."""

from __future__ import annotations

import os
import shutil
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
FORMAT_ENDINGS = ["sys.exit(1)", "raise KeyboardInterrupt", "raise GeneratorExit", "1 / 0", "return None"]
FORMATS = "from polybench.registry import formats\n" + "".join(
    f"""
@formats.register("theirs{place}", suffix=".theirs{place}")
def theirs{place}(document):
    "A format."
    {call}
"""
    for place, call in enumerate(FORMAT_ENDINGS)
)
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


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a run and what is said when it is reported where there is a format of each ending."""
    folder = tmp_path_factory.mktemp("formats")
    save(run(exact({"relu": 1, "swiglu": 2})), folder / "run")
    done = polybench(folder, FORMATS, "report", "run")
    assert done.returncode == 0, done
    return folder, done.stderr


@pytest.mark.parametrize("place", range(len(FORMAT_ENDINGS)), ids=FORMAT_ENDINGS)
def test_a_format_that_ends_the_program_spoils_no_other(place: int, reported: tuple[Path, str]) -> None:
    folder, told = reported
    assert f"cannot be made into theirs{place}" in told
    assert {p.suffix for p in (folder / "run").glob("report.*")} == {".html", ".md", ".json", ".gz"}
    asked = polybench(folder, FORMATS, "report", "run", "--format", f"theirs{place}")
    assert asked.returncode == 2, asked


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (FORMATS + "\n1 / 0\n", "format 'theirs0' of theirs (theirs_module) is broken: ZeroDivisionError"),
        (FORMATS.replace(', suffix=".theirs0"', ""), "format 'theirs0' says no suffix for its files"),
    ],
    ids=["import", "suffix"],
)
def test_a_format_that_cannot_be_used_stops_only_who_asks_for_it(
    broken: str, told: str, reported: tuple[Path, str], tmp_path: Path
) -> None:
    shutil.copytree(reported[0] / "run", tmp_path / "run", ignore=shutil.ignore_patterns("report.*"))
    done = polybench(tmp_path, broken, "report", "run")
    assert done.returncode == 0 and told in done.stderr, done
    assert {p.suffix for p in (tmp_path / "run").glob("report.*")} == {".html", ".md", ".json", ".gz"}
    asked = polybench(tmp_path, broken, "report", "run", "--format", "theirs0")
    assert asked.returncode == 2 and asked.stderr.startswith(told), asked
    assert polybench(tmp_path, broken, "report", "run", "--format", "markdown").returncode == 0
