"""Killed at any moment, a run goes on and ends with the records of an unbroken one."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import toy_kind
from killing import finish

from polybench.machine.environment import plugin_hash
from polybench.run.store import load

SUITE = """
suite: small
activations: [relu, swiglu]
reference: swiglu
seeds: [0, 1, 2]
benchmarks:
  - {name: killed, kind: toy, matrix: {kills: [0, 1, 2]}}
  - {name: interrupted, kind: toy, matrix: {kills: 1, by: SIGINT}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    toy_kind.install(tmp_path)
    (tmp_path / "small.yaml").write_text(SUITE, encoding="utf-8")
    return tmp_path


def measured(run: Path) -> dict[str, object]:
    """What every trial measured, without when and how long."""
    return {r.trial.id: (r.status, r.measurements, dict(r.facts)) for r in load(run).records}


def test_killed_at_several_moments_it_ends_like_an_unbroken_run(folder: Path) -> None:
    """The toy ends its program in the middle of a trial: with SIGKILL, then with Ctrl-C, which leaves some words."""
    code, words = finish(folder, "small.yaml", "--out", "broken")
    for _ in range(2):
        assert code == -signal.SIGKILL, words
        code, words = finish(folder, "small.yaml", "--resume", "broken")
    assert code == -signal.SIGKILL, words
    before = len(load(folder / "broken").records)
    code, words = finish(folder, "--resume", "broken")
    assert code == 130, words
    assert "polybench run --resume broken" in words
    assert "Traceback" not in words
    assert len(load(folder / "broken").records) > before
    with (folder / "broken" / "records.jsonl").open("ab") as file:
        file.write(b'{"duration_s": 1.0, "err')  # a line cut short by a kill
    code, words = finish(folder, "--resume", "broken")
    assert code == 0, words
    assert finish(folder, "small.yaml", "--out", "whole")[0] == 0  # nothing ends a program a second time
    assert measured(folder / "broken") == measured(folder / "whole")
    ids = [json.loads(line)["trial"] for line in (folder / "whole" / "records.jsonl").read_text().splitlines()]
    assert len(ids) == len({json.dumps(i) for i in ids}) == 24


def test_a_changed_suite_is_refused_unless_forced(folder: Path) -> None:
    unbroken = ("small.yaml", "-s", "killed.matrix.kills=-1")
    assert finish(folder, *unbroken, "--out", "run", "--filter", "killed*")[0] == 0
    code, words = finish(folder, "small.yaml", "--resume", "run")
    assert code == 2
    assert "the suite (benchmarks.killed.matrix.kills: -1 / " in words
    header = json.loads((folder / "run" / "run.json").read_text())
    header["environment"] |= {"code": "other", "cpu": "another"}
    (folder / "run" / "run.json").write_text(json.dumps(header))
    code, words = finish(folder, *unbroken, "--resume", "run")
    assert code == 2
    assert "the code of polybench" in words
    assert "cpu: another" in words
    assert finish(folder, *unbroken, "--resume", "run", "--force")[0] == 0


def test_a_plug_in_that_changed_is_refused_as_polybench_itself_is(folder: Path) -> None:
    (folder / "polybench_other.py").write_text(
        "@activations.register('other')\nclass Other: 'Unused.'", encoding="utf-8"
    )
    info = folder / "polybench_other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polybench-other\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[polybench]\nother = polybench_other\n", encoding="utf-8")
    unbroken = ("small.yaml", "-s", "killed.matrix.kills=-1", "--filter", "killed*")
    assert finish(folder, *unbroken, "--out", "run")[0] == 0
    header = json.loads((folder / "run" / "run.json").read_text())
    assert list(header["environment"]["plugins"]) == ["polybench_toy"]
    for name in ("toy", "other"):
        file = folder / f"polybench_{name}.py"
        file.write_text(f"{file.read_text()}\n# changed\n", encoding="utf-8")
    code, words = finish(folder, "--resume", "run")
    assert code == 2 and "the code of polybench_toy (" in words
    assert "the code of polybench (" not in words and "polybench_other" not in words
    del header["environment"]["plugins"]  # as in a run of before plug-ins were told
    (folder / "run" / "run.json").write_text(json.dumps(header))
    assert finish(folder, "--resume", "run")[0] == 0


def test_a_plug_in_is_known_by_all_of_its_package(tmp_path: Path) -> None:
    package = tmp_path / "pack" / "deep"
    package.mkdir(parents=True)
    for path in (package, package.parent):
        (path / "__init__.py").touch()
    (package / "one.py").write_text("1", encoding="utf-8")
    before = plugin_hash(package / "one.py")
    assert before[0] == "pack"
    (tmp_path / "lone.py").write_text("1", encoding="utf-8")
    assert plugin_hash(package / "one.py") == plugin_hash(package / "__init__.py") == before
    (package.parent / "beside.py").touch()
    assert plugin_hash(package / "one.py") != before
    lone = plugin_hash(tmp_path / "lone.py")
    (tmp_path / "lone.py").write_text("2", encoding="utf-8")
    assert lone[0] == "lone" and plugin_hash(tmp_path / "lone.py") != lone
