"""One `polybench run`: the jobs of an open run are carried out, its header is closed, its end is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from polybench.errors import NothingMeasured
from polybench.files import inside
from polybench.kind import kind_of
from polybench.machine.environment import capture, cores
from polybench.machine.window import change, ticks
from polybench.plan.jobs import Plan, unfolds
from polybench.plan.labels import Labels
from polybench.record import CHECKPOINT_FOLDER, Record, Status
from polybench.run import store
from polybench.run.changed import on_one_text, texts_of
from polybench.run.executor import Executor, WorkerProcess
from polybench.run.planned import done_already, failed, planned
from polybench.run.runner import Event, Planned, run
from polybench.run.session import Session
from polybench.run.team import divided
from polybench.trial import CHECKPOINTS, TEXTS, Job, Trial


def carry_out(
    session: Session,
    tell: Callable[[Event], None] = lambda event: None,
    make_executor: Callable[[], Executor] = WorkerProcess,
    together: Callable[[], Executor] | None = None,
) -> None:
    """Run what is left, stage after stage where what was measured decides what comes next.

    `together` makes an executor for what several processes do together, which comes first.

    Raises KeyboardInterrupt after stopping the workers, ResultsError on a full disk.
    """
    header, todo = dict(session.header), session.todo
    store.write_header(session.path, header)
    slots = 1 if header["device"] != "cpu" else cores()
    before, tried = ticks(), set[Trial]()  # with its rate: a trial whose rate moves is another one
    known = list(session.known)

    def keep(records: Sequence[Record]) -> None:
        records = records if session.forced else on_one_text(records, known)
        known.extend(replace(r, artifacts=()) for r in records)
        store.append(session.path, [replace(r, machine=session.machine) for r in records])

    def following() -> Plan:
        """What can be run now that could not before."""
        found, header["planned"] = _next(session, known, tried)
        store.write_header(session.path, header)
        return found

    def launches() -> list[Job]:
        """Further launches of what is timed, once the last of a round has ended."""
        if not unfolds(session.suite):
            return []
        further = following().only(lambda job: job.alone and not divided(job))
        tried.update(t for job in further.jobs for t in job.trials)
        return _told(further.jobs, session, known)

    while todo.jobs:
        tried |= {t for job in todo.jobs for t in job.trials}
        jobs = _told(todo.jobs, session, known)
        if together:
            run([j for j in jobs if divided(j)], together, 1, keep, tell)
            jobs = [j for j in jobs if not divided(j)]
        run(jobs, make_executor, slots, keep, tell, launches)
        if not unfolds(session.suite):
            break
        todo = following()
        if todo.jobs:
            tell(Planned(todo, header["planned"]))
    finished = datetime.now(UTC).isoformat(timespec="seconds")
    after = {**capture(), "meanwhile": asdict(change(before, ticks()))}
    store.write_header(session.path, {**header, "finished_at": finished, "environment_after": after})


def outcome(records: Sequence[Record], labels: Labels) -> tuple[int, str]:
    """Exit code and reason of a finished run: 5 without a measurement, 3 with a broken trial, else 0."""
    broken = failed(records)
    ok = sum(r.status is Status.OK for r in records)
    if not ok and not broken:
        raise NothingMeasured(f"nothing was measured: {records[0].error if records else 'there was no trial'}")
    if broken:
        first = broken[0]
        return 3, (
            f"{len(broken)} of {len(records)} trials failed, first {labels.of_trial(first.trial)}: "
            f"{first.status.words}: {first.error}"
        )
    other, noted = sum(r.status is Status.UNSUPPORTED for r in records), sum(bool(r.notes) for r in records)
    more = (f", {other} unsupported here" if other else "") + (f", {noted} with a note in the report" if noted else "")
    return 0, f"{ok} trials measured{more}"


def _told(jobs: Sequence[Job], session: Session, known: Sequence[Record]) -> list[Job]:
    """Jobs are told on which texts the run was measured so far, and those that keep checkpoints in which folder."""
    where = (CHECKPOINTS, str(inside(session.path, CHECKPOINT_FOLDER).resolve()))
    there = {} if session.forced else texts_of(known)
    texts = [(TEXTS, json.dumps(there))] if there else []

    def keeps(job: Job) -> bool:
        return kind_of(job.trials[0].cell.kind).protocol(**dict(job.protocol)).keeps_files

    return [replace(j, environment=(*j.environment, *texts, *([where] if keeps(j) else []))) for j in jobs]


def _next(session: Session, known: Sequence[Record], tried: set[Trial]) -> tuple[Plan, int]:
    """What can be run now that it could not before, and how many trials there are in all."""
    whole = planned(session.suite, session.header, known)
    records = {r.trial.id: r for r in known}
    left = whole.only(lambda j: not done_already(j, records) and not tried.issuperset(j.trials))
    return left, len(whole.trials)
