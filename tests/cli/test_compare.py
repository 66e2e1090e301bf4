"""`polybench compare` for real: in a repository with activations of its own, of which nothing is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from polybench.cli.main import main

ROOT = Path(__file__).parents[2]
PROJECT = """
[project]
name = "polybench-mine"

[project.entry-points.polybench]
mine = "mine"
"""
MODULE = '''
import torch
from polybench.kind import Axes, Protocol
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import activations, kinds

LOSS = Metric("taught_loss", "nat/token", "lower", "seed", "Cross entropy of which of eight inputs is the largest.")


@kinds.register("taught", axes=Axes, protocol=Protocol, metrics=(LOSS,), version=1, repeats="seeds",
                seconds=lambda axes, protocol: 1.0)
def taught(trials, axes, protocol):
    """A small network, trained for a moment."""
    import polybench

    for index, trial in enumerate(trials):
        torch.manual_seed(trial.seed)
        act = polybench.activation(trial.cell.activation)
        net = torch.nn.Sequential(torch.nn.Linear(8, 64), act, torch.nn.Linear(64, 8))
        x_NxD = torch.randn(256, 8)
        for _ in range(40):
            loss = torch.nn.functional.cross_entropy(net(x_NxD), x_NxD.argmax(1))
            with torch.no_grad():  # by hand: torch.optim loads the compiler, a second of each process
                for p, dp in zip(net.parameters(), torch.autograd.grad(loss, list(net.parameters()))):
                    p -= dp
        yield index, Measurement("taught_loss", (loss.item(),))


@activations.register("plain", branches=1, source="test")
class Plain(torch.nn.Module):
    """The reference."""

    def forward(self, x_F):
        return torch.relu(x_F)


@activations.register("steady", branches=1, source="test")
class Steady(torch.nn.Module):
    """A comment."""

    def forward(self, x_F):
        return torch.sigmoid(x_F)


@activations.register("moving", branches=1, source="test")
class Moving(torch.nn.Module):
    """Another."""

    def forward(self, x_F):
        return torch.nn.functional.silu(x_F)


@activations.register("going", branches=1, source="test")
class Going(torch.nn.Module):
    """A third."""

    def forward(self, x_F):
        return torch.tanh(x_F)
'''
SPEED = """\
  - {name: speed, kind: speed, activations: [plain, moving], matrix: {tokens: 64, d_model: 32},
     protocol: {launches: 5, blocks: 8, sample_s: 0.0003}}
"""
TIMES = """\
  - {metric: total_time, tolerance: 200%, where: {activation: moving}}
"""
TAUGHT = """\
  - {name: taught, kind: taught, activations: [plain, moving], seeds: [0, 1, 2]}
"""
LOSSES = """\
  - {metric: taught_loss, tolerance: 0.02, where: {activation: moving}}
"""
SUITE = f"""
suite: mine
activations: [plain, steady, moving, going]
reference: plain
seeds: [0]
device: cpu
benchmarks:
{SPEED}{TAUGHT}  - {{name: memory, kind: memory, matrix: {{tokens: 16, d_model: 16}}}}
gate:
{TIMES}{LOSSES}  - {{metric: saved_bytes}}
"""
LOOPS = "with torch.no_grad():\n            [torch.tanh(x_F) for _ in range(40)]\n        "
CHANGES = {  # by revision: what takes the place of what
    "comment": {
        '"""A comment."""': '"""Other words."""',
        "return torch.sigmoid(x_F)": "y_F = torch.sigmoid(x_F)\n        return y_F",
    },
    "worse": {
        "return torch.nn.functional.silu": f"{LOOPS}return 0.75 * torch.nn.functional.silu",
        "return torch.sigmoid(x_F)": "return torch.sigmoid(x_F) + 0 * torch.tanh(x_F)",
        '"going"': '"gone"',
    },
    "killed": {"return torch.tanh": "import os; os.kill(os.getpid(), 9); return torch.tanh"},
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    for name, text in (("pyproject.toml", PROJECT), ("mine.py", MODULE), ("suite.yaml", SUITE)):
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "-q")
    keep(folder, "base")
    for name, changes in CHANGES.items():
        text = MODULE
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "mine.py").write_text(text, encoding="utf-8")
        keep(folder, name)
    return folder


def git(folder: Path, *arguments: str) -> str:
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


def keep(folder: Path, name: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", name)
    git(folder, "tag", f"r-{name}")


def compare(repository: Path, head: str, *options: str, suite: str = "suite.yaml") -> tuple[int, dict[str, Any], str]:
    """Its exit code, what it prints as JSON, and what it says beside that."""
    command = [sys.executable, "-m", "polybench", "compare", suite, "--base", "r-base", "--head", head, "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run([*command, *options], cwd=repository, capture_output=True, text=True, env=environment)
    assert done.stdout, done.stderr
    assert git(repository, "worktree", "list").count("\n") == 1, "a worktree was left behind"
    return done.returncode, json.loads(done.stdout), done.stderr


# An environment made anew over the same packages, with which a side is measured.
REBUILT = f"""
{sys.executable} -m venv --without-pip .venv
{sys.executable} -c 'import site; print(site.getsitepackages()[0])' > "$(echo .venv/lib/python*/site-packages)/same.pth"
"""


def test_a_comment_a_local_and_a_rebuilt_environment_pass_and_are_judged_alike_again(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--base-setup", REBUILT, "--out", "kept", "--filter", "speed/*")
    code, found, told = compare(repository, "r-comment", *asked)
    assert code == 0, told
    assert [(v["label"], v["outcome"]) for v in found["verdicts"]] == [("speed/moving", "pass")]
    monkeypatch.chdir(repository)
    assert cli(monkeypatch, "compare", "kept", "--json") == 0
    assert json.loads(capsys.readouterr().out) == found
    for side in ("base", "head", "control"):
        assert (repository / "kept" / side / "records.jsonl").is_file()
    assert cli(monkeypatch, "report", "kept/head", "--table", "speed") == 0


def test_slower_more_bytes_a_worse_loss_and_a_vanished_activation_fail(repository: Path) -> None:
    code, found, told = compare(repository, "r-worse")
    assert code == 1, told
    bad = {v["label"] + " " + v["metric"]: v for v in found["verdicts"] if v["outcome"] != "pass"}
    assert {name: v["outcome"] for name, v in bad.items()} == {
        "speed/moving total_time": "fail", "memory/steady saved_bytes": "fail", "memory/going saved_bytes": "missing",
        "taught/moving taught_loss": "fail",
    }  # fmt: skip
    assert bad["taught/moving taught_loss"]["change"]["low"] > 0.02
    assert bad["speed/moving total_time"]["change"]["low"] > 3
    assert "again" in bad["speed/moving total_time"]["reason"]
    assert "unknown activation 'going'" in bad["memory/going saved_bytes"]["reason"]


def test_a_killed_side_is_a_measurement_that_failed(repository: Path) -> None:
    text = SUITE
    for part in (SPEED, TIMES, TAUGHT, LOSSES):
        text = text.replace(part, "")
    (repository / "memory.yaml").write_text(text.replace("plain, steady, moving, going", "plain, going"))
    code, found, told = compare(repository, "r-killed", suite="memory.yaml")
    assert code == 3, told
    assert {v["label"]: v["outcome"] for v in found["verdicts"]} == {"memory/plain": "pass", "memory/going": "broken"}
    assert "killed from outside" in found["reason"]


WRONG = [  # the suite, options, and what is said
    ("suite.yaml", ["--base", "r-nothing"], "--base r-nothing: there is no such revision, folder or Python"),
    ("suite.yaml", ["--base", "suite.yaml"], "it is a file, but neither a Python nor a folder"),
    ("suite.yaml", [], "say what to hold against, for example --base main"),
    ("nothing.yaml", ["--base", "r-base"], "there is no such suite"),
    ("suite.yaml", ["--base", "r-base", "--base-setup", "echo no compiler; exit 7"], "exit code 7 in"),
    ("suite.yaml", ["--base", "r-base", "--base-setup", "echo no compiler; exit 7"], "no compiler"),
    ("suite.yaml", ["--base", sys.executable, "--base-setup", "true"], "is for a tree"),
    ("suite.yaml", ["--base", "r-base", "--head", "bare"], "head: nothing of bare would be measured"),
    ("suite.yaml", ["--base", "twice"], "twice is a folder and a revision"),
    ("suite.yaml", ["--base", "r-base", "--budget", "5"], "--budget 5: this is no time"),
    ("suite.yaml", ["--base", "r-base", "--inconclusive", "maybe"], "say report, pass or fail"),
    ("bare", ["--base", "r-base"], "bare is a folder, to be judged anew"),
    ("bare", [], "holds no comparison"),
]


@pytest.mark.parametrize(("suite", "options", "words"), WRONG, ids=lambda x: " ".join(x) if isinstance(x, list) else x)
def test_a_wrong_request_is_a_sentence(
    suite: str,
    options: list[str],
    words: str,
    repository: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (repository / "bare").mkdir(exist_ok=True)
    (repository / "twice").mkdir(exist_ok=True)
    git(repository, "tag", "-f", "twice")
    monkeypatch.chdir(repository)
    assert cli(monkeypatch, "compare", suite, *options) == 2
    assert words in capsys.readouterr().err


def cli(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["polybench", *arguments])
    with pytest.raises(SystemExit) as leave:
        main()
    return int(leave.value.code or 0)
