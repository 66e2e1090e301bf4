"""Several runs of one suite become one: parts measured on several machines, or one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polybench.errors import NothingMeasured, ResultsError
from polybench.files import inside, share
from polybench.machine.environment import fingerprint
from polybench.plan.jobs import Plan
from polybench.plan.labels import Labels
from polybench.plan.suite import Suite
from polybench.record import CHECKPOINT_FOLDER, Record
from polybench.run import scores, store
from polybench.run.batches import equal_but_for_seeds, looks_of, united
from polybench.run.changed import code_changes, on_one_text, text_changes, texts_of
from polybench.run.planned import planned
from polybench.run.session import joined
from polybench.run.store import Run
from polybench.trial import kept_name

MOST_LABELS = 3  # of missing trials; the header names them all
# What all runs must have in common.
_EQUAL = {"suite": "suites", "filter": "filters", "device": "devices", "processes": "numbers of processes"}
_OWN = ("schema_version", "shard", "trials", "part_of", "environment_after", "finished_at", "sources", "looks")


def merge(paths: Sequence[Path], out: Path, force: bool = False) -> Run:
    """A new run folder with the records of all, and in its header where each was measured and what is missing.

    Runs of one suite with other seeds are looks, in the order in which they began.

    Raises:
        ResultsError: the runs are not of one suite, or (unless `force`) of one code of polybench and on the same texts
            and images; a trial was measured twice and not alike; the folder holds something already.
    """
    runs = [store.load(p) for p in dict.fromkeys(paths)]
    first, forced = runs[0], list[str]()
    texts = texts_of(first.records)
    for other in runs[1:]:
        for key, words in _EQUAL.items():
            if not _alike(key, other.header.get(key), first.header.get(key)):
                raise ResultsError(f"{other.path} and {first.path} cannot be merged: their {words} differ")
        own = texts_of(other.records)
        parted = [*code_changes(first.environment, other.environment), *text_changes(texts, own)]
        texts |= own
        if parted and not force:
            where = f"{other.path} and {first.path} cannot be merged: {parted[0]} differs"
            raise ResultsError(f"{where}; measure one of them again, or say --force to mix them")
        forced += parted
    records = unite(runs)
    metrics: dict[str, Any] = {}
    for one in runs:
        metrics |= one.header["metrics"]
    in_order = [r.header for r in sorted(runs, key=lambda r: str(r.header.get("started_at", "")))]
    looks = looks_of(in_order)
    forced = [*dict.fromkeys([*(f for r in runs for f in r.header.get("forced", [])), *forced])]
    header = {
        **{k: v for k, v in first.header.items() if k not in _OWN},
        "metrics": metrics,
        "suite": united([header["suite"] for header in in_order]) if looks else first.header["suite"],
        **({"looks": looks} if looks else {}),
        "started_at": min(r.header.get("started_at", "") for r in runs),
        "forced": forced,
    }
    header = _counted(joined(header, [s for r in runs for s in _sources(r)]), records)
    store.create(out, header)
    for one in runs:
        _bring(one, out, one.records)
    store.append(out, records)
    return store.load(out)


def _alike(key: str, one: Any, other: Any) -> bool:
    return equal_but_for_seeds(one, other) if key == "suite" else bool(one == other)


def unite(runs: Iterable[Run]) -> list[Record]:
    """The records of all runs, each with its machine; a trial that failed in one may have ended well in another.

    Raises:
        ResultsError: two runs have measured the same trial, and not alike.
    """
    kept: dict[str, tuple[Record, Path]] = {}
    runs = list(runs)
    for run in runs:
        for record in _stamped(run, run.records):
            known, path = kept.get(record.trial.id, (None, run.path))
            if known and known.status.settled and record.status.settled and _content(known) != _content(record):
                files = f"{path / store.RECORDS_FILE} and {run.path / store.RECORDS_FILE}"
                name = Labels.of(r.trial for one in runs for r in one.records).of_trial(record.trial)
                raise ResultsError(f"{name} was measured twice and not alike, in {files}; leave one of them out")
            if known is None or (record.status.settled and not known.status.settled):
                kept[record.trial.id] = record, run.path
    return [record for record, _ in kept.values()]


def adopt(path: Path, parts: Sequence[Path]) -> Run:
    """Bring what parts have measured back into the run they were taken of; what it knows already stays as it is, but
    for what was measured again with what it knew not, since blocks are paired within a job.

    A part that never became a run folder is passed over: its trials are missing, which the header then says. What an
    unfinished training goes on from comes along; that of a finished one goes.
    """
    run = store.load(path)
    known = list(run.records)
    seen = {(r.trial.id, r.started_at) for r in run.records}
    sources = [*([] if "sources" in run.header or not run.records else _sources(run))]
    for part in parts:
        if not (part / store.RUN_FILE).is_file():
            continue
        measured = store.load(part)
        fresh = [r for r in _fresh(run, known, measured.records) if (r.trial.id, r.started_at) not in seen]
        fresh = fresh if run.header.get("forced") else on_one_text(fresh, known)
        _bring(measured, path, fresh)
        if not fresh:
            continue
        known += fresh
        store.append(path, _stamped(measured, fresh))
        sources += _sources(measured)
    now = store.load(path)
    header = {k: v for k, v in now.header.items() if k != "schema_version"}
    store.write_header(path, _counted(joined(header, sources) if sources else header, now.records))
    for trial in (r.trial for r in now.records if r.status.settled):
        inside(path, f"{CHECKPOINT_FOLDER}/{kept_name(trial, 'resume')}").unlink(missing_ok=True)
    return store.load(path)


def _fresh(run: Run, known: Sequence[Record], measured: Sequence[Record]) -> list[Record]:
    """What was measured in a job of which a trial is not settled yet; with its rate, which may have moved since."""
    latest = {r.trial.id: r for r in known}
    settled = {r.trial for r in latest.values() if r.status.settled}
    names = {t.id for t in settled}
    if names.isdisjoint(r.trial.id for r in measured):
        return list(measured)
    # What failed in a part and ended well since has no say in the rates.
    telling = [r for r in measured if r.status.settled or r.trial not in settled]
    jobs = [job.trials for job in _planned(run.header, [*known, *telling]).jobs]
    together = {trial: job for job in jobs for trial in job}
    at = {(r.trial, r.started_at) for r in measured}

    def wanted(record: Record) -> bool:
        if record.trial not in together:  # such as at a rate that was given up: no news where there is a later one
            return record.trial.id not in names
        return any(t not in settled for t in together[record.trial] if (t, record.started_at) in at)

    return list(filter(wanted, measured))


def _stamped(run: Run, records: Iterable[Record]) -> list[Record]:
    own = fingerprint(run.environment)
    return [replace(r, machine=r.machine or own) for r in records]


def _content(record: Record) -> dict[str, Any]:
    """What was measured, without when and where."""
    whole = record.to_json()
    return {key: whole[key] for key in ("trial", "status", "measurements", "facts", "error")}


def _sources(run: Run) -> list[dict[str, Any]]:
    """Where the records of a run come from: itself, or those it was merged of."""
    if "sources" in run.header:
        return list(run.header["sources"])
    keys = ("shard", "started_at", "finished_at", "environment")
    return [{"run": str(run.path), **{k: run.header[k] for k in keys if k in run.header}}]


def _counted(header: dict[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """The header with how many trials there are to be, and (id, label) of those that are not there."""
    whole = _planned(header, records)
    there = {r.trial.id for r in records}
    absent = [(t.id, whole.labels.of_trial(t)) for t in whole.trials if t.id not in there]
    return {**header, "planned": len(whole.trials), "missing": absent}


def _planned(header: dict[str, Any], records: Sequence[Record]) -> Plan:
    try:
        return planned(Suite.model_validate(header["suite"]), header, records)
    except (ValidationError, NothingMeasured) as problem:
        raise ResultsError(f"the suite {header['suite'].get('suite')} cannot be planned any more: {problem}") from None


def _bring(run: Run, target: Path, records: Sequence[Record]) -> None:
    """What the trials left behind and scored, and what unfinished ones go on from; of what is gone the report tells."""
    for name in (a.name for r in records for a in r.artifacts):
        share(inside(run.path, name), inside(target, name))
    for name in (str(p.relative_to(run.path)) for p in (run.path / CHECKPOINT_FOLDER).glob("*.pt")):
        share(inside(run.path, name), inside(target, name), newer=True)
    scores.bring(run.path, target, [r.trial for r in records])


def missing(run: Run) -> list[str]:
    """Labels of the trials that no part had measured when the run was merged, and that are still not there."""
    # Before trials had short labels, headers held the whole ones alone.
    absent = [(entry, entry) if isinstance(entry, str) else entry for entry in run.header.get("missing", ())]
    there = {name for r in run.records for name in (r.trial.id, r.trial.label)} if absent else set()
    return [label for name, label in absent if name not in there]
