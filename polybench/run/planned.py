"""What a run is to measure: all of its suite's plan, or the trials of its part, and which of it is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from polybench.errors import PolybenchError
from polybench.kind import kind_of
from polybench.plan.jobs import Plan, plan
from polybench.plan.labels import Labels
from polybench.plan.shard import Shard
from polybench.plan.suite import Suite
from polybench.plan.tuning import TUNING
from polybench.record import Record, Status
from polybench.run import store
from polybench.run.batches import seeds_of
from polybench.trial import Job


def planned(suite: Suite, header: dict[str, Any], records: Sequence[Record]) -> Plan:
    """What the run of this header is to measure, as far as its records decide it: all, or the trials of its part."""
    whole = plan(suite, header["device"], header.get("filter"), records)
    if "trials" not in header:
        return whole
    mine = set(header["trials"])
    cells = {tuple(name.split("/")[:2]) for name in mine}

    def belongs(job: Job) -> bool:
        """A part goes on with the launches of what it has, however many there will be."""
        if kind_of(job.trials[0].cell.kind).repeats == "launches":
            return {(t.benchmark, t.cell.id) for t in job.trials} <= cells
        return {t.id for t in job.trials} <= mine

    return whole.only(belongs)


def with_added_seeds(header: dict[str, Any], suite: Suite, known: Sequence[Record]) -> dict[str, Any]:
    """The header of a part with its trials of seeds that the suite had not before; any other as it is."""
    before = seeds_of(header["suite"])
    if "shard" not in header or seeds_of(suite.model_dump(mode="json")) == before:
        return header

    def added(job: Job) -> bool:
        trial = job.trials[0]
        return kind_of(trial.cell.kind).repeats == "seeds" and trial.seed not in before.get(
            trial.benchmark, [trial.seed]
        )

    whole = plan(suite, header["device"], header.get("filter"), known).only(added)
    mine = Shard.parse(header["shard"]).of_added_seeds(whole.jobs)
    return {**header, "trials": [*header["trials"], *(t.id for job in mine for t in job.trials)]}


def labels(run: store.Run) -> Labels:
    """Names of the suite's trials; of those with a record where the suite cannot be planned any more."""
    try:
        return planned(Suite.model_validate(run.header["suite"]), run.header, run.records).labels
    except (ValidationError, PolybenchError):
        return Labels.of(r.trial for r in run.records)


def failed(records: Iterable[Record]) -> list[Record]:
    """Those whose measurement failed; of a rate that was tried, to diverge is what was asked."""

    def asked(record: Record) -> bool:
        return record.status is Status.DIVERGED and record.trial.benchmark.endswith(TUNING)

    return [r for r in records if r.status.broken and not asked(r)]


def done_already(job: Job, records: dict[str, Record]) -> bool:
    """Blocks are paired within a job, so its trials are done together or not at all; a tuned rate may have moved, and
    with it what was carried out in place of a trial that kept its own."""
    known, own = [records.get(t.id) for t in job.trials], {"", *(t.id for t in job.trials)}
    same = all(r is not None and r.status.settled and r.trial == t for r, t in zip(known, job.trials, strict=True))
    return same and all(r.same_as in own for r in known if r) and len({r.started_at for r in known if r}) == 1
