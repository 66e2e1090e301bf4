"""Killed at any moment, a run goes on and ends with the records of an unbroken one."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import toy_kind
from killing import finish

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
