"""A run over cluster jobs: submitit's local executor stands in for SLURM."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import toy_kind
from builders import suite

from polybench.cli.request import Request
from polybench.cli.run import _begun
from polybench.errors import UsageError
from polybench.machine.environment import choose_device
from polybench.plan.jobs import plan
from polybench.plan.shard import Shard
from polybench.record import Measurement, Record, Status
from polybench.run import cluster, order, session, store
from polybench.run.merge import adopt, missing
from polybench.run.order import Order
from polybench.run.store import load
from polybench.trial import Job

SUITE = """
suite: toy
activations: [relu, swiglu]
reference: relu
device: cpu
seeds: [1, 2]
benchmarks:
  - {name: toy, kind: toy, matrix: {kills: 2}}
"""


def test_parts_are_cluster_jobs_and_what_a_lost_one_leaves_out_is_sent_in_again(tmp_path: Path) -> None:
    variables = {**os.environ, **toy_kind.install(tmp_path)}
    (tmp_path / "toy.yaml").write_text(SUITE)

    def polybench(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "polybench", "run", *arguments, "--cluster", "local", "--cluster-jobs", "2"]
        return subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)

    ran = polybench("toy.yaml", "--out", "run")
    assert ran.returncode == 3, ran.stderr
    run = load(tmp_path / "run")
    assert [(r.trial.seed, r.measurements[0].values) for r in run.records] == [(1, (10.0,))] * 2
    assert len(missing(run)) == 2 and all("seed=2" in label for label in missing(run))
    assert "part 1-1of2: 2 trials measured" in ran.stderr and "part 1-2of2: ended with -9" in ran.stderr
    last = ran.stderr.splitlines()[-1]
    assert last.startswith(f"2 of 4 trials are missing, first {missing(run)[0]}; ")
    assert last.endswith("go on with: polybench run --resume run --cluster local")
    again = polybench("--resume", "run")
    assert again.returncode == 0, again.stderr
    whole = load(tmp_path / "run")
    assert [(r.trial.seed, r.measurements[0].values) for r in whole.records] == [(1, (10.0,))] * 2 + [(2, (20.0,))] * 2
    assert missing(whole) == [] and len({r.machine for r in whole.records}) == 1
    assert {Path(s["run"]).name for s in whole.header["sources"]} == {"1-1of2", "2-1of2", "2-2of2"}


JOBS = plan(suite(benchmarks=[{"name": "memory", "kind": "memory"}]), "cpu").jobs
TIMES = plan(suite(benchmarks=[{"name": "speed", "kind": "speed"}]), "cpu").jobs
OPTIONS = ("timeout_min=7", "slurm_partition=gpu", "slurm_exclusive=false")


def test_options_are_typed_as_submitit_wants_them() -> None:
    wanted = Order.of("local", 3, OPTIONS)
    assert wanted.options == (("timeout_min", 7), ("slurm_partition", "gpu"), ("slurm_exclusive", False))
    order.check(wanted, JOBS)


def test_a_cluster_job_has_time_for_the_launches_that_follow_from_its_own() -> None:
    most = {"pilot": 5, "launches": 1000, "budget_s": 36000.0}
    further = plan(suite(benchmarks=[{"name": "speed", "kind": "speed", "protocol": most}]), "cpu")
    assert 60 * order.minutes([further.jobs]) > further.seconds(1) > 100 * sum(j.seconds for j in further.jobs)


def test_what_cannot_be_sent_in_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")  # so that there is no SLURM
    for executor, options, jobs, words in [
        ("pbs", (), JOBS, "say slurm, or local"),
        ("local", ("timeout_min",), JOBS, "write it as key=value"),
        ("local", ("bogus=1",), JOBS, "'bogus' need to be prefixed"),
        ("local", ("timeout_min=soon",), JOBS, "expected type"),
        ("local", (), TIMES, "which spoils times"),
        ("slurm", (), JOBS, "srun"),
    ]:  # fmt: skip
        with pytest.raises(UsageError) as caught:
            order.check(Order.of(executor, 2, options), jobs)
        assert words in str(caught.value) and "\n" not in str(caught.value)


def test_jobs_on_this_machine_measure_on_its_own_device(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("suite: s\nactivations: [relu]\nreference: relu\nbenchmarks: [{name: a, kind: accuracy}]\n")
    asked = {"pattern": None, "overrides": (), "device": None, "profile": False, "shard": None, "cluster_options": ()}
    request = Request.of(
        suite=path, resume=None, out=tmp_path / "run", cluster="local", cluster_jobs=None, force=False, **asked
    )
    if choose_device("auto") == "cpu":  # jobs that share a GPU are refused
        assert _begun(request).header["device"] == "cpu"


def test_without_submitit_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=r"pip install 'torch-polybench\[cluster\]'"):
        order.check(Order.of("local", 2, ()), JOBS)


def test_jobs_go_by_what_was_asked_and_are_reckoned_with_all_that_they_will_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is given a seed, and tuning decides what comes next while another training fails."""
    tune = {"lr": [0.002, 0.004], "extend": 0}
    of = {"activations": ["relu"], "device": "cpu", "benchmarks": [
        {"name": "tuned", "kind": "pretrain", "matrix": {"lr": "tuned"}, "tune": tune},
        {"name": "fails", "kind": "pretrain", "matrix": {"lr": 0.001}},
    ]}  # fmt: skip
    path, sent = tmp_path / "run", list[tuple[list[str], list[str]]]()
    session.begin(suite(seeds=[0], **of), path, None, "toy.yaml", remote=True)

    def send(folder: Path, todo: Sequence[Job], *_: Any) -> None:
        mine = session.resume(folder, None, force=False, remote=True)  # as a job does, who is told of no suite
        sent.append(([j.trials[0].id for j in todo], [j.trials[0].id for j in mine.todo.jobs]))
        part = session.part_of(mine, Shard(1, 1), folder / "shards" / f"{len(sent)}-1of1")
        for trial in part.todo.trials:
            fails = trial.benchmark == "fails"
            status, values = (Status.FAILED, ()) if fails else (Status.OK, (Measurement("val_loss", (3.0,)),))
            store.append(part.path, [Record(trial, status, values, started_at=f"2026-01-0{len(sent)}")])
        adopt(folder, [part.path])

    monkeypatch.setattr(cluster, "_send", send)
    current = session.resume(path, suite(seeds=[0, 1], **of), force=False, remote=True)
    cluster.carry_out(current, Order.of("local", 1, ()), False, lambda line: None)
    assert len(sent) == 2 and all(reckoned == found for reckoned, found in sent)
    assert {r.trial.seed for r in load(path).records if r.trial.benchmark == "tuned"} == {0, 1}
