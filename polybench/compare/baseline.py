"""A baseline: the records of a run that its gate rules look at, small enough to be committed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import matches
from polybench.compare.verdict import YARDSTICKS
from polybench.errors import NothingMeasured, UsageError
from polybench.record import Record
from polybench.run import store


def keep(run: store.Run, folder: Path) -> int:
    """Write the gated records of a run, as they are compared, to a new folder; returns how many.

    Raises:
        UsageError: the suite has no gate rules.
        NothingMeasured: no record of the run is gated.
        ResultsError: the folder holds something already.
    """
    rules = run.suite.gate
    if not rules:
        raise UsageError(f"the suite of {run.name} has no gate: rules, so there is nothing to keep")
    comparisons = Comparisons.of(run)
    kept: list[Record] = []
    for point in (*comparisons.points(), *comparisons.grid.controls.values()):
        wanted = {rule.metric for rule in rules if matches(point, rule.where)}
        for record in point.records:
            chosen = tuple(m for m in record.measurements if m.metric in {*wanted, *YARDSTICKS.values()})
            if any(m.metric in wanted for m in chosen):
                kept.append(replace(record, measurements=chosen, artifacts=(), notes=()))
    if not kept:
        raise NothingMeasured(f"no record of {run.path} is gated")
    derived = comparisons.run.derived
    metrics = {k: [*ms, *(m.to_json() for m in derived.get(k, ()))] for k, ms in run.header["metrics"].items()}
    header = {k: v for k, v in run.header.items() if k != "schema_version"}
    store.create(folder, {**header, "metrics": metrics})
    store.append(folder, kept)
    return len(kept)
