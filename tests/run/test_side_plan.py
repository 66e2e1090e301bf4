"""A side plans for itself: what it lacks is told, and one that cannot plan is a sentence of the right code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from polybench.errors import NotComparable, SuiteError, UsageError
from polybench.plan.lacking import load_known
from polybench.run.side import Side, opened
from polybench.run.side_plan import STEP, Request, SidePlan, ask, plan_here
from polybench.source_tree import TREE, SourceTree

SUITE = """
suite: s
activations: [relu, gone, swiglu, polynorm(gone=1)]
reference: swiglu
benchmarks:
  - {name: speed, kind: speed, backends: [eager, compile], matrix: {tokens: 4, d_model: 16}, protocol: {profile: true}}
  - {name: memory, kind: memory, activations: [gone, swiglu], matrix: {tokens: 4, d_model: 16}}
  - {name: accuracy, kind: accuracy, matrix: {width: 8}}
claims: [{metric: saved_bytes, subject: gone, better_than: swiglu}]
gate:
  - {metric: total_time, tolerance: 5%, where: {backend: eager, activation: [relu, gone]}}
  - {metric: saved_bytes, where: {activation: gone}}
  - {metric: saved_bytes, where: {activation: swiglu}}
"""


def planned(folder: Path, text: str = SUITE) -> SidePlan:
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    return plan_here(Request(str(folder / "s.yaml")))


def test_only_what_is_gated_is_planned_and_what_is_lacking_is_told(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert sorted(plan.lacks) == ["gone", "polynorm(gone=1)"]
    assert "unknown activation 'gone'" in plan.lacks["gone"]
    assert "no option 'gone'" in plan.lacks["polynorm(gone=1)"]
    (place,) = plan.timed
    assert [(t.cell.activation, t.cell.backend, t.seed, t.control) for t in place.trials] == [
        ("relu", "eager", 0, False)
    ]
    assert dict(place.protocol)["taking_turns"] is True and dict(place.protocol)["profile"] is False
    assert [t.cell.activation for job in plan.others for t in job.trials] == ["swiglu"]
    assert len(plan.rules) == 2
    assert SidePlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_reference_that_is_lacking_has_a_stand_in(tmp_path: Path) -> None:
    plan = planned(tmp_path, SUITE.replace("reference: swiglu", "reference: gone"))
    assert plan.suite["reference"] == "swiglu"


def test_other_mistakes_are_told_at_their_place(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SUITE.replace("kind: memory", "kind: memry"), encoding="utf-8")
    with pytest.raises(SuiteError, match=r"memry.*did you mean 'memory'"):
        load_known(tmp_path / "s.yaml")
    with pytest.raises(UsageError, match="has no gate: rules"):
        planned(tmp_path, TUNED.partition("gate:")[0])


TUNED = """
suite: s
activations: [relu]
reference: relu
benchmarks:
  - {name: p, kind: pretrain, matrix: {lr: [tuned, 0.01]}, tune: {lr: [0.01, 0.02]}}
  - {name: memory, kind: memory, matrix: {tokens: 4, d_model: 16}}
gate: [{metric: val_loss}, {metric: saved_bytes}]
"""


def test_what_finds_its_rate_first_or_starts_processes_is_left_out_and_the_rest_is_planned(tmp_path: Path) -> None:
    plan = planned(tmp_path, TUNED)
    (tuned,) = (t for job in plan.left_out for t in job.trials if t.seed == 0)
    assert dict(tuned.cell.axes)["lr"] == "tuned" and plan.why_left_out(tuned).startswith("p tunes its rate")
    assert {(t.benchmark, dict(t.cell.axes).get("lr")) for t in plan.trials} == {("memory", None), ("p", 0.01)}
    launched = planned(tmp_path, TUNED + "launcher: torchrun\n")
    assert {t.benchmark for t in launched.trials} == {"memory"}
    fixed = next(t for job in launched.left_out for t in job.trials if dict(t.cell.axes)["lr"] == 0.01)
    assert launched.why_left_out(fixed).startswith("launcher: torchrun starts processes of its own for p")
    assert SidePlan.from_json(json.loads(json.dumps(launched.to_json()))) == launched


ENDINGS = {  # what a Python prints on stdout and stderr, the error, and its words
    "too old": ("", "/p: No module named polybench.run.side_plan", NotComparable, "too old to be held in step"),
    "no polybench": ("", "/p: Error while finding module: No module named polybench", UsageError, "has no polybench"),
    "breaks": ("", "Traceback\nZeroDivisionError: division by zero", UsageError, "cannot plan: ZeroDivisionError"),
    "mute": ("", "", UsageError, "cannot plan: it said nothing"),
    "newer": (json.dumps({"step": STEP + 1}), "", NotComparable, "is newer"),
    "refuses": (json.dumps({"step": STEP, "error": "s.yaml:1: no"}), "", UsageError, "head: s.yaml:1: no"),
    "foreign": (json.dumps({"step": STEP, "plan": {"x": 1}}), "", NotComparable, "is not understood here"),
}


@pytest.mark.parametrize("way", ENDINGS)
def test_a_side_that_gives_no_plan_is_a_sentence(way: str, tmp_path: Path) -> None:
    out, err, kind, words = ENDINGS[way]
    python = tmp_path / "python"
    python.write_text(
        f"#!/bin/sh\ncat >/dev/null\nprintf '%s\\n' '{out}'\nprintf '%s\\n' '{err}' >&2\n", encoding="utf-8"
    )
    python.chmod(0o755)
    with pytest.raises(kind, match=words):
        ask(Side("head", "v1", str(python)), Request("s.yaml"))


def test_what_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be started"):
        ask(Side("base", "v1", str(tmp_path / "python")), Request("s.yaml"))


def test_what_a_side_imports_is_its_tree_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    (tmp_path / "src").mkdir()
    variables = Side("base", ".", sys.executable, tmp_path).environment
    assert variables["PYTHONPATH"].split(":") == [str(tmp_path / "src"), str(tmp_path), "before"]
    assert variables[TREE] == "", "without a project it brings no extensions, and may not be named"
    (tmp_path / "pyproject.toml").touch()
    assert Side("base", ".", sys.executable, tmp_path).environment[TREE] == str(tmp_path)
    assert Side("base", ".", sys.executable).environment == {"PYTHONSAFEPATH": "1"}


def test_submodules_that_a_worktree_lacks_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"

    def git(folder: Path, *arguments: str) -> None:
        named = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always")
        subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True)

    for folder in (inner, outer):
        folder.mkdir()
        git(folder, "init", "-q")
    (inner / "acts.py").write_text("")
    (outer / "pyproject.toml").write_text('[project.entry-points.polybench]\nmine = "mine.acts"')
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "a")
    git(outer, "submodule", "add", "-q", str(inner), "mine")
    git(outer, "add", "-A")
    git(outer, "commit", "-qm", "a")
    monkeypatch.chdir(outer)
    with pytest.raises(UsageError, match="--base-setup 'git submodule update --init"), opened("HEAD", None):
        pass
    setup = "git -c protocol.file.allow=always submodule update --init"
    with opened("HEAD", None, setup) as sides:
        assert all((side.tree / "mine" / "acts.py").is_file() for side in sides.values() if side.tree)


def test_a_tree_is_read_or_refused(tmp_path: Path) -> None:
    assert SourceTree.read(tmp_path, "polybench").modules == {}
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "My_Own.x"\n[project.entry-points.polybench]\na = "b:c"'
    )
    tree = SourceTree.read(tmp_path, "polybench")
    assert (tree.distribution, tree.modules) == ("my-own-x", {"a": "b"})
    (tmp_path / "pyproject.toml").write_text("[project")
    with pytest.raises(Exception, match=r"pyproject\.toml cannot be read"):
        SourceTree.read(tmp_path, "polybench")
