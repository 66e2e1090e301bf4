"""Killed at any moment, a run goes on and ends with the records of an unbroken one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from polybench.run.store import load

ROOT = Path(__file__).parent.parent
SUITE = """
suite: small
activations: [relu, swiglu]
reference: swiglu
seeds: [0, 1]
benchmarks:
  - {name: memory, kind: memory, matrix: {tokens: [4, 8], d_model: 8}}
  - {name: curve, kind: loss_curve,
     matrix: {corpus: "text:TEXT", d_model: 8, heads: 1, layers: 1, seq_len: 8, batch: 2, steps: 4}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"words of document {i} " * 40, encoding="utf-8")
    (tmp_path / "small.yaml").write_text(SUITE.replace("TEXT", f"{tmp_path}/*.txt"), encoding="utf-8")
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POLYBENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "polybench", "run", *arguments]

    def hear_interrupts() -> None:
        """A shell starts background jobs, of which these tests may be one, deaf to Ctrl-C."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )


def finish(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a run that is left alone."""
    process = start(folder, *arguments)
    words = process.communicate()[1]
    return process.returncode, words


def measured(run: Path) -> dict[str, object]:
    """What every trial measured exactly, without when and how long."""
    vague = ("resident_bytes", "step_tokens_per_s", "compile_time")
    return {
        r.trial.id: (r.status, [m for m in r.measurements if m.metric not in vague], dict(r.facts))
        for r in load(run).records
    }


def kill_after(process: subprocess.Popen[str], lines: int, how: signal.Signals) -> str:
    """Send a signal once so many trials have been reported; returns the rest of stderr."""
    assert process.stderr
    for _ in range(lines):
        process.stderr.readline()
    process.send_signal(how)
    return process.communicate()[1]


def test_killed_at_several_moments_it_ends_like_an_unbroken_run(folder: Path) -> None:
    assert finish(folder, "small.yaml", "--out", "whole")[0] == 0
    process = start(folder, "small.yaml", "--out", "broken")
    kill_after(process, 1, signal.SIGKILL)
    for moment in (1, 3):
        process = start(folder, "small.yaml", "--resume", "broken")
        kill_after(process, moment, signal.SIGKILL)
    with (folder / "broken" / "records.jsonl").open("ab") as file:
        file.write(b'{"duration_s": 1.0, "err')  # a line cut short by the kill
    code, words = finish(folder, "--resume", "broken")
    assert code == 0, words
    assert measured(folder / "broken") == measured(folder / "whole")
    ids = [json.loads(line)["trial"] for line in (folder / "whole" / "records.jsonl").read_text().splitlines()]
    assert len(ids) == len({json.dumps(i) for i in ids}) == 8


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(folder: Path) -> None:
    process = start(folder, "small.yaml", "--out", "run")
    words = kill_after(process, 2, signal.SIGINT)
    assert process.returncode == 130
    assert "polybench run --resume run" in words
    assert "Traceback" not in words
    assert len(load(folder / "run").records) >= 2


def test_a_changed_suite_is_refused_unless_forced(folder: Path) -> None:
    assert finish(folder, "small.yaml", "--out", "run", "--filter", "*memory*")[0] == 0
    code, words = finish(folder, "small.yaml", "--resume", "run", "-s", "memory.matrix.tokens=4")
    assert code == 2
    assert "the suite" in words
    header = json.loads((folder / "run" / "run.json").read_text())
    header["environment"] |= {"code": "other", "cpu": "another"}
    (folder / "run" / "run.json").write_text(json.dumps(header))
    code, words = finish(folder, "small.yaml", "--resume", "run")
    assert code == 2
    assert "the code of polybench" in words
    assert "cpu: another" in words
    assert finish(folder, "small.yaml", "--resume", "run", "--force")[0] == 0
