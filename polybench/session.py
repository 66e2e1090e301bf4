"""One `polybench run`: a folder is opened or resumed, its jobs are carried out, its header is closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polybench import store
from polybench.cell import CHECKPOINTS, Job, told_apart
from polybench.environment import capture, choose_device, cores, differences
from polybench.errors import NothingMeasured, ResultsError, UsageError
from polybench.executor import Executor, WorkerProcess
from polybench.kind import kind_of
from polybench.plan import Plan, plan
from polybench.record import Record, Status
from polybench.runner import Event, run
from polybench.suite import Benchmark, Suite
from polybench.window import between, ticks


@dataclass(frozen=True)
class Session:
    """An open run: its folder, its suite, what is left to do, and how much of it was done before."""

    path: Path
    suite: Suite
    todo: Plan
    done: int
    header: dict[str, Any]


def profiled(suite: Suite) -> Suite:
    """The suite with a profile of every benchmark whose kind can be profiled. Raises UsageError when none can."""

    def able(benchmark: Benchmark) -> bool:
        return "profile" in kind_of(benchmark.kind).protocol.model_fields

    if not any(map(able, suite.benchmarks)):
        raise UsageError(f"--profile: no benchmark of {suite.suite} is of a kind that can be profiled, such as speed")
    benchmarks = [
        b.model_copy(update={"protocol": {**b.protocol, "profile": True}}) if able(b) else b for b in suite.benchmarks
    ]
    return suite.model_copy(update={"benchmarks": benchmarks})


def begin(suite: Suite, out: Path | None, pattern: str | None, source: str) -> Session:
    """Open a new run folder.

    Raises:
        ResultsError: the folder holds something already, or cannot be made.
        NothingMeasured: the pattern matches no trial.
        UsageError: the device is not there.
    """
    device = choose_device(suite.device)
    todo = plan(suite, device, pattern)
    now = datetime.now(UTC)
    path = out or _free(store.ROOT / suite.suite / now.strftime("%Y-%m-%dT%H-%M-%S"))
    header = {
        "suite": suite.model_dump(mode="json"),
        "source": source,
        "filter": pattern,
        "device": device,
        "environment": capture(),
        "metrics": _metrics(suite),
        "started_at": now.isoformat(timespec="seconds"),
        "planned": len(todo.trials),
    }
    store.create(path, header)
    return Session(path, suite, todo, 0, header)


def resume(path: Path, suite: Suite | None, force: bool) -> Session:
    """Open a run again with the jobs that are not settled.

    Raises:
        ResultsError: the suite, the code or the machine changed, unless `force`.
    """
    old = store.load(path)
    now = capture()
    changes = [] if suite is None or suite.model_dump(mode="json") == old.suite else ["the suite"]
    if now["code"] != old.environment.get("code"):
        changes.append(f"the code of polybench ({old.environment.get('code')} / {now['code']})")
    changes += [f"the machine ({d})" for d in differences(old.environment, now)]
    if changes and not force:
        raise ResultsError(
            f"{path} cannot be resumed, these changed: {', '.join(changes)}; "
            "start a new run, or say --force to mix them"
        )
    try:
        chosen = suite or Suite.model_validate(old.suite)
        whole = plan(chosen, old.header["device"], old.header.get("filter"), old.records)
    except ValidationError as failure:
        why = failure.errors()[0]["msg"].removeprefix("Value error, ")
        raise ResultsError(f"{path} cannot be resumed: {why}") from None
    records = {r.trial.id: r for r in old.records}
    todo = whole.only(lambda job: not _settled(job, records))
    header = {
        **old.header,
        "suite": chosen.model_dump(mode="json"),
        "planned": len(whole.trials),
        "metrics": {**old.header["metrics"], **_metrics(chosen)},
        "forced": [*old.header.get("forced", []), *changes],
    }
    return Session(path, chosen, todo, len(whole.trials) - len(todo.trials), header)


def carry_out(
    session: Session,
    tell: Callable[[Event], None] = lambda event: None,
    make_executor: Callable[[], Executor] = WorkerProcess,
) -> None:
    """Run what is left, stage after stage where tuning decides what comes next.

    Raises KeyboardInterrupt after stopping the workers, ResultsError on a full disk.
    """
    header, todo = dict(session.header), session.todo
    store.write_header(session.path, header)
    slots = 1 if header["device"] != "cpu" else cores()
    before, tried = ticks(), set[str]()
    while True:
        run(_keeping(todo.jobs, session.path), make_executor, slots, partial(store.append, session.path), tell)
        if not session.suite.tunes:
            break
        tried |= {t.id for job in todo.jobs for t in job.trials}
        todo, header["planned"] = _next(session, tried)
        store.write_header(session.path, header)
        if not todo.jobs:
            break
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    after = {**capture(), "meanwhile": asdict(between(before, ticks()))}
    store.write_header(session.path, {**header, "finished_at": finished, "environment_after": after})


def outcome(records: Sequence[Record]) -> tuple[int, str]:
    """Exit code and reason of a finished run: 5 without a measurement, 3 with a broken trial, else 0."""
    broken = [r for r in records if r.status.broken]
    ok = sum(r.status is Status.OK for r in records)
    if not ok and not broken:
        raise NothingMeasured(f"nothing was measured: {records[0].error if records else 'there was no trial'}")
    if broken:
        first, name = broken[0], told_apart(r.trial for r in records)
        return 3, (
            f"{len(broken)} of {len(records)} trials failed, first {name(first.trial)}: "
            f"{first.status.replace('_', ' ')}: {first.error}"
        )
    other, noted = len(records) - ok, sum(bool(r.notes) for r in records)
    more = (f", {other} unsupported here" if other else "") + (f", {noted} with a note in the report" if noted else "")
    return 0, f"{ok} trials measured{more}"


def _metrics(suite: Suite) -> dict[str, Any]:
    """Metric definitions by kind, which make the folder explain itself."""
    return {k: [m.to_json() for m in kind_of(k).metrics] for k in sorted({b.kind for b in suite.benchmarks})}


def _keeping(jobs: Sequence[Job], path: Path) -> list[Job]:
    """Jobs that keep checkpoints are told in which folder."""
    where = (CHECKPOINTS, str((path / "checkpoints").resolve()))
    asked = ("checkpoint_every", "save")
    return [
        replace(j, environment=(*j.environment, where)) if any(dict(j.protocol).get(a) for a in asked) else j
        for j in jobs
    ]


def _next(session: Session, tried: set[str]) -> tuple[Plan, int]:
    """What can be run now that it could not before, and how many trials there are in all."""
    found = store.load(session.path).records
    whole = plan(session.suite, session.header["device"], session.header.get("filter"), found)
    records = {r.trial.id: r for r in found}
    left = whole.only(lambda j: not _settled(j, records) and not tried & {t.id for t in j.trials})
    return left, len(whole.trials)


def _settled(job: Job, records: dict[str, Record]) -> bool:
    """Blocks are paired within a job, so its trials are done together or not at all; a tuned rate may have moved."""
    known = [records.get(t.id) for t in job.trials]
    same = all(r is not None and r.status.settled and r.trial == t for r, t in zip(known, job.trials, strict=True))
    return same and len({r.started_at for r in known if r}) == 1


def _free(path: Path) -> Path:
    """The path, or the same with a number when two runs begin in one second."""
    candidate, number = path, 2
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}-{number}"), number + 1
    return candidate
