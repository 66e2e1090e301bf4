"""A run kept as a baseline, or a session more of one; and taken away again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from polybench.compare import session_file
from polybench.compare.baseline import Baseline, files, is_baseline, load
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, typical
from polybench.compare.sessions import Session, flaw, is_timed, protocol_differences, session_of
from polybench.errors import NothingMeasured, ResultsError, UsageError
from polybench.files import make_folder
from polybench.machine.environment import nickname
from polybench.metric import in_full
from polybench.plan.governing import governing
from polybench.plan.labels import Labels
from polybench.record import Record
from polybench.run import store
from polybench.run.store import Run


@dataclass(frozen=True)
class Kept:
    """What was added to a baseline: records, and the file of the session if it timed anything."""

    records: int
    session: Path | None


def save(run: Run, folder: Path, renew: bool = False) -> Kept:
    """Add the gated records of a run, as they are compared, and its times as one more session.

    What the baseline has of bytes, counts and losses stays, unless it is to be `renew`ed: then a whole run takes its
    place, and a run of some of the suite that of the trials it measured.

    Raises:
        UsageError: the suite has no gate rules, the folder is a run's, or the baseline is of another suite.
        NothingMeasured: no record of the run is gated.
        ResultsError: the session is there already, or may not be compared with those of its machine; an exact count
            is not what the baseline says, or was measured on another text; the folder cannot be written.
    """
    if not run.suite.gate:
        raise UsageError(f"the suite of {run.name} has no gate: rules, so there is nothing to keep")
    known = _before(folder)
    comparisons = Comparisons.of(run)
    records, session = _records(comparisons), _gated_times(comparisons)
    if not records and not session.times:
        raise NothingMeasured(f"no record of {run.path} is gated")
    if session.times and (why := flaw(run)):
        raise ResultsError(f"{run.path} is no session: {why}")
    in_part = bool(run.header.get("filter")) or len(run.records) < run.header.get("planned", 0)
    if known:
        _fits(known, comparisons, session, records if not renew else ())
        if not renew:
            records = _united(known.run.records, records)
        elif in_part:
            records = list({r.trial.id: r for r in [*known.run.records, *records]}.values())
    header = _header(comparisons, known.run.header if known and (in_part or not renew) else None)
    make_folder(folder)
    store.write_header(folder, header)
    store.rewrite(folder, records)
    if not session.times:
        return Kept(len(records), None)
    file = folder / nickname(session.environment) / session_file.file_name(session)
    make_folder(file.parent)
    session_file.write(session, file)
    return Kept(len(records), file)


def _before(folder: Path) -> Baseline | None:
    if not (folder / store.RUN_FILE).is_file():
        return None
    if not is_baseline(folder):
        raise UsageError(f"{folder} is a run and no baseline; take another --name, so that nothing of it is lost")
    return load(folder)


def _records(comparisons: Comparisons) -> list[Record]:
    """What is gated and does not hang on the machine, with nothing else beside it."""
    run, kept = comparisons.run, list[Record]()
    for point in comparisons.points():
        metrics = run.metrics[point.cell.kind]
        held = {name for name, m in metrics.items() if not is_timed(m) and _held(run, point, name)}
        for record in point.records:
            if chosen := tuple(m for m in record.measurements if m.metric in held):
                kept.append(replace(record, measurements=chosen, artifacts=(), notes=()))
    return kept


def _gated_times(comparisons: Comparisons) -> Session:
    run, session = comparisons.run, session_of(comparisons)
    points = {(point.benchmark, point.cell): point for point in comparisons.points()}
    times = {key: one for key, one in session.times.items() if _held(run, points[key[:2]], key[2])}
    timed = {benchmark for benchmark, _, _ in times}
    protocols = {name: values for name, values in session.protocols.items() if name in timed}
    return replace(session, times=times, protocols=protocols)


def _held(run: Run, point: Point, metric: str) -> bool:
    return governing(run.suite.gate, metric, point.benchmark, point.cell) is not None


def _fits(known: Baseline, comparisons: Comparisons, session: Session, records: Sequence[Record]) -> None:
    """Raises where a run cannot be added to a baseline, as `save` says."""
    run, folder = comparisons.stored, known.run.path
    if run.suite.suite != known.run.suite.suite:
        raise UsageError(f"{folder} is of suite {known.run.suite.suite}, and {run.path} of {run.suite.suite}")
    for other in known.machines.get(nickname(session.environment), ()) if session.times else ():
        if other.started_at == session.started_at:
            raise ResultsError(f"the session of {session.started_at} is in {folder} already, and counts once")
        for name, values in session.protocols.items():
            if name in other.protocols and (found := protocol_differences(other.protocols[name], values)):
                raise ResultsError(
                    f"{run.path} measured {name} otherwise than {folder} ({'; '.join(found)}); take another name"
                )
    for _, cell, timed in session.times if known.sessions else ():
        versions = [side.metrics.get(cell.kind, {}).get(timed) for side in (run, known.run)]
        if len({m.version for m in versions if m}) > 1:
            raise ResultsError(f"{timed} is defined otherwise in {run.path} than in {folder}; take another name")
    before = known.compared
    here = {(r.trial.benchmark, r.trial.cell) for r in records}
    for place in (p for p in here if p in before.grid.cells):
        for name, metric in comparisons.run.metrics[place[1].kind].items():
            if metric.varies_with != "nothing" or metric.curve:
                continue
            was, now = (typical(side.grid.cells[place], metric) for side in (before, comparisons))
            if was is not None and now is not None and was != now:
                label = Labels.of(r.trial for r in run.records).of_cell(comparisons.grid.cells[place].records[0].trial)
                raise ResultsError(
                    f"{label} {name} is {in_full(now)} in {run.path} and {in_full(was)} in {folder}; "
                    "if that is meant, say --renew and why in the commit"
                )
    _on_the_same(known, run, records)


def _on_the_same(known: Baseline, run: Run, records: Sequence[Record]) -> None:
    """Raises ResultsError where a trial was measured on another text than the one of the baseline."""
    facts = {r.trial.id: dict(r.facts) for r in known.run.records}
    for record in (r for r in records if facts.get(r.trial.id, dict(r.facts)) != dict(r.facts)):
        was, now = facts[record.trial.id], dict(record.facts)
        other = "; ".join(f"{k} {was.get(k)} / {now.get(k)}" for k in {**was, **now} if was.get(k) != now.get(k))
        label = Labels.of(r.trial for r in run.records).of_trial(record.trial)
        raise ResultsError(
            f"{label} was measured on something else than in {known.run.path} ({other}); take --renew or another name"
        )


def _united(old: Iterable[Record], new: Iterable[Record]) -> list[Record]:
    """Every record of both; of one trial what was known stays, and metrics that it lacked come beside."""
    found = {record.trial.id: record for record in old}
    for record in new:
        before = found.get(record.trial.id)
        if before is None:
            found[record.trial.id] = record
            continue
        there = {m.metric for m in before.measurements}
        more = tuple(m for m in record.measurements if m.metric not in there)
        found[record.trial.id] = replace(before, measurements=(*before.measurements, *more))
    return list(found.values())


def _header(comparisons: Comparisons, before: dict[str, Any] | None) -> dict[str, Any]:
    """Of the run that the records are of, with the metrics of the latest, and its suite unless that leaves some out."""
    run = comparisons.stored
    derived = comparisons.run.derived
    metrics = {k: [*ms, *(m.to_json() for m in derived.get(k, ()))] for k, ms in run.header["metrics"].items()}
    first = {k: v for k, v in (before or run.header).items() if k not in ("schema_version", "environment_after")}
    named = [{b["name"] for b in header["suite"]["benchmarks"]} for header in (first, run.header)]
    suite = (run.header if named[0] <= named[1] else first)["suite"]
    return {**first, "baseline": True, "suite": suite, "metrics": {**first["metrics"], **metrics}}


def drop(path: Path, chosen: Iterable[Path] | None = None) -> int:
    """Remove these sessions of a baseline, or all of it; returns how many files went. Nothing else is touched.

    Raises:
        UsageError: the folder is a run's.
        ResultsError: the disk refuses.
    """
    if not is_baseline(path):
        raise UsageError(f"{path} is a run and no baseline, so nothing of it is removed; rm -r removes a run")
    whole = chosen is None
    gone = [*(files(path) if chosen is None else chosen)]
    gone += [path / name for name in (store.RUN_FILE, store.RECORDS_FILE) if whole]
    try:
        for file in gone:
            file.unlink(missing_ok=True)
        inner = {file.parent for file in gone} - {path}
        for folder in [*inner, *([path] if whole else [])]:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as problem:
        raise ResultsError(f"{path} cannot be removed: {problem.strerror}") from None
    return len(gone)
