"""A run as a pandas DataFrame, one row a measured value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from polybench.run.store import Run

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "benchmark", "kind", "activation", "backend", "device", "dtype", "seed", "control",
    "status", "error", "same_as", "metric", "unit", "step", "value",
)  # fmt: skip


def rows(run: Run) -> list[dict[str, Any]]:
    """One dictionary a value; a trial without any measurement keeps one row with its error."""
    found: list[dict[str, Any]] = []
    metrics = run.metrics
    for record in run.records:
        cell = record.trial.cell
        base = {
            "benchmark": record.trial.benchmark,
            "kind": cell.kind,
            "activation": cell.activation,
            "backend": cell.backend,
            "device": cell.device,
            "dtype": cell.dtype,
            "seed": record.trial.seed,
            "control": record.trial.control,
            "status": record.status.value,
            "error": record.error,
            "same_as": record.same_as,
        }
        axes = dict(cell.axes)
        if not record.measurements:
            found.append({**base, "metric": None, "unit": None, "step": None, "value": None, **axes})
        for measurement in record.measurements:
            metric = metrics.get(cell.kind, {}).get(measurement.metric)
            steps = measurement.steps or range(len(measurement.values))
            for step, value in zip(steps, measurement.values, strict=True):
                unit = metric.unit if metric else None
                found.append({**base, "metric": measurement.metric, "unit": unit, "step": step, "value": value, **axes})
    return found


def frame(run: Run) -> pandas.DataFrame:
    """The rows as a DataFrame; an empty run still has its columns."""
    import pandas

    found = rows(run)
    return pandas.DataFrame(found) if found else pandas.DataFrame(columns=list(COLUMNS))
