"""A profile comes after the timing, agrees with what measures the same, and never spoils anything."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
from builders import cell, suite
from test_worker import executor, job  # noqa: F401  the fixture is used by its name

from polybench.errors import UsageError
from polybench.kind import Measured
from polybench.measure.instruments.allocation import peak_bytes
from polybench.measure.instruments.profiling import CALLS, name, trace, traces
from polybench.measure.instruments.workshop import Arm, Workshop
from polybench.measure.model.build import chosen
from polybench.measure.speed_axes import SpeedAxes
from polybench.plan.jobs import plan
from polybench.plan.suite import Suite
from polybench.record import TRACE_ENDING, TRACE_FOLDER, Artifact, Status
from polybench.registry import activations, backends
from polybench.report.compose import compose
from polybench.run.executor import WorkerProcess
from polybench.run.runner import records_of
from polybench.run.session import profiled
from polybench.run.store import load
from polybench.run.traces import read, summarise
from polybench.trial import Job, Trial

ROOT = Path(__file__).parents[2]
WORKER_PATTERN = re.compile(r"^(.*?)(\.\d+)?\.pt\.trace\.json(?:\.gz)?$")  # torch_tb_profiler 0.4.3, consts.py
SPECS = ("relu", "swiglu", "polyrelu", "polynorm", "polynorm(norm=l2, order=2)")


def arm(spec: str, level: str = "block") -> Arm:
    return Workshop(SpeedAxes(level=level, tokens=64, d_model=16), "float32", "cpu").arm(chosen(spec))  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["activation", "block"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_trace_agrees_with_the_memory_kind(spec: str, level: str) -> None:
    one = arm(spec, level)
    profile = summarise(json.loads(gzip.decompress(trace(one, "cpu")))["traceEvents"])
    assert profile.steps == CALLS
    assert profile.peak == peak_bytes(one.once, "cpu")
    assert profile.allocated == profile.freed > 0
    assert sum(o.allocated for o in profile.operators) == profile.allocated
    names = {o.name for o in profile.operators}
    assert ("aten::mm" in names) == (level == "block")
    assert all(o.calls % CALLS == 0 for o in profile.operators)


def test_names_are_safe_and_tell_every_trial_apart() -> None:
    options = [f"polynorm({text})" for text in ("order=2", "order=1", "eps=0.001", "eps=1e-05", "norm=l2, order=2")]
    trials = [
        Trial(benchmark, cell("speed", activation, backend, dtype, level=level, tokens=tokens, threads=threads), 0)
        for benchmark in ("speed", "speed.2")
        for activation in [*activations.names(), *options]
        for backend in backends.names()
        for dtype in ("float32", "bfloat16")
        for level in ("activation", "block")
        for tokens in (1024, 64)
        for threads in (1, 2)
    ]
    names = {name(t) for t in trials}
    assert len(names) == len(trials)
    for text in names:
        assert Artifact(f"{TRACE_FOLDER}/{text}{TRACE_ENDING}")
        match = WORKER_PATTERN.match(f"{text}{TRACE_ENDING}")
        assert match and match.groups() == (text, None)
    assert "speed-polynorm-norm=l2-order=2-eager-float32-block-tokens=64" in names
    long = replace(trials[0], cell=replace(trials[0].cell, activation="a" * 400))
    assert len(name(long)) < 200


def test_a_profile_that_fails_comes_after_the_trial_is_measured() -> None:
    good = arm("relu")

    def broken() -> Any:
        raise RuntimeError("planted")

    trials = [
        Trial("speed", cell("speed", n), 0, control=c) for n, c in (("relu", False), ("gelu", False), ("relu", True))
    ]
    items = list(traces(trials, {0: replace(good, forward=broken), 1: good, 2: good}, "cpu"))
    assert [(i, item) for i, item in items[:3]] == [(i, Measured("profile")) for i in range(3)]
    (zero, problem), (one, artifact) = items[3:]
    assert (zero, str(problem), one) == (0, "planted", 1)
    assert isinstance(artifact, Artifact) and artifact.data


def with_profile(one: Job, seed: int = 0) -> Job:
    trials = tuple(replace(t, seed=seed) for t in one.trials)
    return replace(one, trials=trials, protocol=tuple({**dict(one.protocol), "profile": True}.items()))


def test_only_the_first_launch_is_profiled_and_nobody_for_nothing(executor: WorkerProcess) -> None:  # noqa: F811
    plain = job("speed", "relu", "raises", "gelu", tokens=4, d_model=8)
    first = records_of(with_profile(plain), executor)
    assert [r.status for r in first] == [Status.OK, Status.FAILED, Status.OK]
    assert [len(r.artifacts) for r in first] == [1, 0, 1]
    assert not any(r.notes for r in first)
    assert all(
        r.artifacts == () for r in (*records_of(with_profile(plain, seed=1), executor), *records_of(plain, executor))
    )
    kept = first[0].get("total_time")
    assert kept and len(kept.values) == 3


def test_no_timing_follows_a_profiler_in_its_process() -> None:
    matrix = {"level": ["activation", "block"], "tokens": [4, 8], "d_model": 8}
    one = suite(benchmarks=[{"name": "speed", "kind": "speed", "matrix": matrix, "protocol": {"launches": 2}}])
    plain = plan(one, "cpu").jobs
    apart = plan(profiled(one), "cpu").jobs
    first = [j for j in apart if j.trials[0].seed == 0]
    assert not any(j.fork for j in first)
    assert all(sum(j.process == other.process for other in apart) == 1 for j in first)
    assert [[t.id for t in j.trials] for j in apart] == [[t.id for t in j.trials] for j in plain]


def test_the_option_reaches_every_kind_that_has_it() -> None:
    found = profiled(suite())
    assert {b.kind: b.protocol for b in found.benchmarks} == {"speed": {"profile": True}, "memory": {}, "pretrain": {}}
    assert Suite.model_validate(found.model_dump()) == found
    with pytest.raises(UsageError, match="--profile: no benchmark of toy"):
        profiled(suite(benchmarks=[{"name": "m", "kind": "memory"}]))


SUITE = """
suite: traced
activations: [relu, swiglu]
reference: swiglu
device: cpu
benchmarks:
  - name: speed
    kind: speed
    matrix: {tokens: 16, d_model: 16}
    protocol: {launches: 1, blocks: 2, warm_up: 1, sample_s: 0.00001}
"""


def polybench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "polybench", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two traces, measured by the command line."""
    place = tmp_path_factory.mktemp("traced")
    (place / "traced.yaml").write_text(SUITE, encoding="utf-8")
    done = polybench(place, "run", "traced.yaml", "--profile", "--out", "run", "-q")
    assert done.returncode == 0, done.stderr
    assert "polybench trace run" in done.stdout
    return place


def test_a_run_keeps_its_traces_and_a_resumed_one_makes_the_missing(folder: Path) -> None:
    run = folder / "run"
    names = {
        f"{TRACE_FOLDER}/speed-{a}-eager-float32-activation-d_model=16-tokens=16{TRACE_ENDING}"
        for a in ("relu", "swiglu")
    }
    assert {a.name for r in load(run).records for a in r.artifacts} == names
    assert {str(p.relative_to(run)) for p in run.rglob(f"*{TRACE_ENDING}")} == names
    assert [t.key for t in compose(load(run)).tables] == [
        "speed",
        "speed-limits",
        "speed-operators",
        "speed-call-memory",
    ]
    (run / "records.jsonl").write_bytes(b"")
    lost = run / min(names)
    lost.unlink()
    done = polybench(folder, "run", "--resume", "run", "-q")
    assert done.returncode == 0, done.stderr
    assert read(lost).steps == CALLS
    assert len(load(run).records) == 3
    assert polybench(folder, "run", "--resume", "run", "--profile").returncode == 2


def test_tensorboard_reads_the_same_files(folder: Path) -> None:
    """Its plug-in's data routes, from a real server on the loopback address; its page would need the internet."""
    installed = all(importlib.util.find_spec(n) for n in ("tensorboard", "torch_tb_profiler"))
    if not installed:
        assert "the extra `tensorboard`" in (ROOT / "README.md").read_text(encoding="utf-8")
        return
    command = [sys.executable, "-m", "tensorboard.main", "--load_fast=false", "--logdir", str(folder / "run")]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the plug-in starts processes of its own
    )
    assert process.stderr
    words: queue.Queue[str] = queue.Queue()
    listener = threading.Thread(target=listen, args=(process.stderr, words))
    listener.start()
    try:
        ask = asked(words)
        assert runs(ask, words) == {"runs": [TRACE_FOLDER], "loading": False}
        assert {"Overview", "Operator", "Trace", "Memory"} <= set(ask("views"))
        workers = ask("workers", view="Operator")
        traces_of = {w: read(folder / "run" / TRACE_FOLDER / f"{w}{TRACE_ENDING}") for w in workers}
        assert set(traces_of) == {p.name.removesuffix(TRACE_ENDING) for p in (folder / "run" / TRACE_FOLDER).iterdir()}
        for worker, profile in traces_of.items():
            where = {"worker": worker, "span": "default", "group_by": "Operation"}
            theirs = {o["name"]: (o["calls"], o["host_self_duration"]) for o in ask("operation/table", **where)["data"]}
            ours = {o.name: (o.calls, sum(o.self_s) * 1e6) for o in profile.operators if o.calls}
            assert theirs.keys() == ours.keys()
            for operator, (calls, self_us) in ours.items():
                assert theirs[operator] == (calls, pytest.approx(self_us, abs=0.51))
            assert ask("memory", **where)["rows"]["CPU"]
            assert len(ask("overview", **where)["steps"]["rows"]) == CALLS
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        listener.join()
        process.stderr.close()


def listen(stderr: IO[str], words: queue.Queue[str]) -> None:
    for line in stderr:
        words.put(line)
    words.put("")


def asked(words: queue.Queue[str]) -> Callable[..., Any]:
    """What asks a route of the plug-in, once its server has said where it is."""
    address, heard = "", []
    while not address:
        line = words.get(timeout=240)
        heard.append(line)
        assert line, "".join(heard)
        found = re.search(r"at (http://127\.0\.0\.1:\d+)", line)
        address = found[1] if found else ""

    def ask(route: str, **arguments: str) -> Any:
        query = urllib.parse.urlencode({"run": TRACE_FOLDER, **arguments})
        with urllib.request.urlopen(f"{address}/data/plugin/pytorch_profiler/{route}?{query}", timeout=60) as answer:
            data = answer.read()
            return json.loads(gzip.decompress(data) if answer.headers["Content-Encoding"] == "gzip" else data)

    return ask


def runs(ask: Callable[..., Any], words: queue.Queue[str]) -> Any:
    """The plug-in's runs, asked for until it has loaded one: before it starts to, it has none and loads nothing."""
    deadline = time.monotonic() + 240
    while True:
        found = ask("runs")
        if (found["runs"] and not found["loading"]) or time.monotonic() > deadline:
            return found
        with suppress(queue.Empty):  # asked again after the server's next word, or soon
            words.get(timeout=0.1)
