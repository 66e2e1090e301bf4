"""What one side would measure: planned by its own code, in a short process of its own, and told as JSON.

Run as `python -m polybench.run.side_plan`: a request a line on stdin, the plan or why there is none on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from polybench.errors import NotComparable, PolybenchError, UsageError, reason
from polybench.kind import Kind, kind_of
from polybench.machine.environment import capture, choose_device
from polybench.metric import Metric
from polybench.plan.governing import matches
from polybench.plan.jobs import plan
from polybench.plan.lacking import load_known
from polybench.plan.suite import Rule
from polybench.plan.tuning import TUNING, asks
from polybench.registry import broken
from polybench.run.executor import worker_environment
from polybench.run.side import Side
from polybench.run.store import as_rule
from polybench.trial import Job, Trial

_JOBS = ("timed", "others", "left_out")  # the fields of a plan that are jobs
MODULE = "polybench.run.side_plan"
STEP = 1  # of the language of turns and of this file; sides of another number cannot be held in step


@dataclass(frozen=True)
class SidePlan:
    """The gated trials of a suite, as one side plans them.

    `timed` has a job for each place whose times are gated, as of its first launch; `others` are all else that is gated,
    and `left_out` what is gated and cannot be measured side by side, as `why_left_out` says. `lacks` says why
    activations are not known there, `broken` what is wrong with extensions that cannot be read there. `suite`,
    `environment` and `metrics` are those of the header of a run.
    """

    suite: Mapping[str, Any]
    device: str
    environment: Mapping[str, Any]
    metrics: Mapping[str, Any]
    timed: tuple[Job, ...]
    others: tuple[Job, ...]
    lacks: Mapping[str, str]
    left_out: tuple[Job, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(t for job in (*self.timed, *self.others) for t in job.trials)

    @cached_property
    def rules(self) -> list[Rule]:
        """As they were checked where the suite was planned."""
        return [as_rule(rule) for rule in self.suite.get("gate", ())]

    def only(self, wanted: Callable[[Trial], bool]) -> SidePlan:
        """The plan with these trials alone."""

        def kept(jobs: Iterable[Job]) -> tuple[Job, ...]:
            few = (replace(job, trials=tuple(filter(wanted, job.trials))) for job in jobs)
            return tuple(job for job in few if job.trials)

        return replace(self, timed=kept(self.timed), others=kept(self.others), left_out=kept(self.left_out))

    def why_left_out(self, trial: Trial) -> str:
        """Why a trial of `left_out` is there."""
        if asks(trial.cell):
            return f"{trial.benchmark} tunes its rate, which `compare` does not; name the rate instead"
        starts = f"launcher: {self.suite['launcher']} starts processes of its own"
        return f"{starts} for {trial.benchmark}, which `compare` cannot hold in step"

    def to_json(self) -> dict[str, Any]:
        jobs = {key: [job.to_json() for job in getattr(self, key)] for key in _JOBS}
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, **jobs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SidePlan:
        """Raises KeyError or TypeError when a field is missing or foreign."""
        jobs = {key: tuple(map(Job.from_json, data[key])) for key in _JOBS if key in data}
        return cls(**{**data, **jobs, "broken": tuple(data.get("broken", ()))})


@dataclass(frozen=True)
class Request:
    """Which suite is planned: a file, what is changed in it, and the device.

    `pattern` is no business of a side: it is held against the labels of what both have planned.
    """

    suite: str
    overrides: tuple[str, ...] = ()
    device: str | None = None
    pattern: str | None = None


def ask(side: Side, request: Request) -> SidePlan:
    """The plan of a side, by its own Python and its own code.

    Raises:
        NotComparable: its polybench is of another time, so that it cannot be held in step.
        UsageError: it cannot be started, or cannot plan the suite.
    """
    try:
        done = subprocess.run(
            [side.executable, "-m", MODULE],
            input=json.dumps({**vars(request), "step": STEP}), capture_output=True, text=True, encoding="utf-8",
            errors="replace", env=worker_environment(side.environment),
        )  # fmt: skip
    except OSError as problem:
        raise UsageError(f"{side.name}: {side.executable} cannot be started: {problem.strerror}") from None
    try:
        told = json.loads(done.stdout.splitlines()[-1])
        step = told["step"]
    except (ValueError, LookupError, TypeError):
        raise _mute(side, done.stderr) from None
    if step != STEP:
        age = "older" if step < STEP else "newer"
        raise NotComparable(
            f"{side.name}: the polybench of {side.what} is {age}, so it cannot be held in step with ours"
        )
    if "error" in told:
        raise UsageError(f"{side.name}: {told['error']}")
    try:
        return SidePlan.from_json(told["plan"])
    except (KeyError, TypeError, ValueError) as problem:
        raise NotComparable(f"{side.name}: what {side.what} plans is not understood here: {problem}") from None


def _mute(side: Side, words: str) -> PolybenchError:
    """Why a process ended without a plan."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    if "No module named" in last and "side_plan" in last:
        return NotComparable(
            f"{side.name}: the polybench of {side.what} is too old to be held in step with another; "
            "its times can only be compared by `polybench gate`"
        )
    if "No module named polybench" in last or "No module named 'polybench'" in last:
        return UsageError(f"{side.name}: {side.executable} has no polybench; install torch-polybench there")
    return UsageError(f"{side.name}: {side.what} cannot plan: {last}")


def plan_here(request: Request) -> SidePlan:
    """The gated trials of a suite, by the code of this process.

    Raises:
        UsageError: nothing is gated.
        SuiteError: the suite cannot run, other than for activations that are not there.
    """
    suite, lacks = load_known(Path(request.suite), request.overrides, request.device)
    if not suite.gate and not lacks:
        raise UsageError(f"{request.suite} has no gate: rules; add some, for example {{metric: peak_bytes}}")
    device = choose_device(suite.device)
    timed: list[Job] = []
    others: list[Job] = []
    left_out: list[Job] = []
    whole = plan(suite, device)
    for job in (*whole.jobs, *whole.later):
        first, kind = job.trials[0], kind_of(job.trials[0].cell.kind)
        if first.benchmark.endswith(TUNING):
            continue  # what finds a rate is compared with nothing
        gated = [(t, rules) for t in job.trials if not t.control and (rules := rules_of(suite.gate, t, kind))]
        if not gated or (kind.repeats == "launches" and first.seed):
            continue
        mine = replace(job, trials=tuple(t for t, _ in gated), as_one=False)
        if asks(first.cell) or (suite.launcher and kind.repeats == "seeds"):
            left_out.append(mine)
        elif any(in_step(kind, kind.named[rule.metric]) for _, rules in gated for rule in rules):
            protocol = kind.protocol(**dict(job.protocol)).in_turns()
            timed.append(replace(mine, protocol=tuple(sorted(protocol.model_dump().items()))))
        else:
            others.append(mine)
    kinds = sorted({b.kind for b in suite.benchmarks})
    metrics = {name: [m.to_json() for m in kind_of(name).metrics] for name in kinds}
    jobs = tuple(timed), tuple(others), lacks, tuple(left_out)
    return SidePlan(suite.model_dump(mode="json"), device, capture(), metrics, *jobs, broken())


def rules_of(rules: Iterable[Rule], trial: Trial, kind: Kind) -> list[Rule]:
    """Those that gate a trial."""
    return [r for r in rules if r.metric in kind.named and matches(trial.benchmark, trial.cell, r.where)]


def in_step(kind: Kind, metric: Metric) -> bool:
    """Whether a metric is timed block by block, in launches."""
    return kind.repeats == "launches" and metric.varies_with == "sample"


def main() -> None:
    """Answer the one request on stdin; what plug-ins print does not get in between."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    asked = json.loads(sys.stdin.readline())
    told: dict[str, Any] = {"step": STEP}
    try:
        if asked["step"] == STEP:
            told["plan"] = plan_here(Request(asked["suite"], tuple(asked["overrides"]), asked["device"])).to_json()
    except PolybenchError as problem:
        told["error"] = str(problem)
    except Exception as problem:
        told["error"] = f"it cannot be planned: {reason(problem)}"
    out.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
