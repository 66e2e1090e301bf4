"""A baseline: the records of a run that its gate rules look at, small enough to be committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from polybench.compare.grid import matches, points
from polybench.compare.verdict import YARDSTICKS
from polybench.errors import NothingMeasured, UsageError
from polybench.record import Record
from polybench.run import store


def keep(run: store.Run, folder: Path) -> int:
    """Write the gated records and metrics of a run to a new folder; returns how many records.

    Raises:
        UsageError: the suite has no gate rules.
        NothingMeasured: no record of the run is gated.
        ResultsError: the folder holds something already.
    """
    rules = run.suite.get("gate") or []
    if not rules:
        raise UsageError(f"the suite of {run.name} has no gate: rules, so there is nothing to keep")
    kept: list[Record] = []
    for point in (*points(run), *points(run, controls=True)):
        wanted = {r["metric"] for r in rules if matches(point, r.get("where") or {})}
        for record in point.records:
            chosen = tuple(m for m in record.measurements if m.metric in {*wanted, *YARDSTICKS.values()})
            if any(m.metric in wanted for m in chosen):
                kept.append(replace(record, measurements=chosen, artifacts=(), notes=()))
    if not kept:
        raise NothingMeasured(f"no record of {run.path} is gated")
    store.create(folder, {k: v for k, v in run.header.items() if k != "schema_version"})
    store.append(folder, kept)
    return len(kept)
