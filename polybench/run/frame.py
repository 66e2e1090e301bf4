"""A run as rows, one a measured value: for spreadsheets, and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from polybench.document import Values
from polybench.run.store import Run

if TYPE_CHECKING:
    import pandas

COLUMNS = (
    "benchmark", "kind", "activation", "backend", "device", "dtype", "seed", "control",
    "status", "error", "same_as", "metric", "unit", "step", "value",
)  # fmt: skip


def values_of(run: Run) -> Values:
    """Every measured value; a trial without any measurement keeps one row with its error."""
    return Values(COLUMNS, lambda: _alike(run))


def _alike(run: Run) -> Iterator[tuple[Mapping[str, Any], Sequence[int | None], Sequence[float | None]]]:
    """What the rows of one measurement share, their steps and their values."""
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
            yield {**base, "metric": None, "unit": None, **axes}, (None,), (None,)
        for measurement in record.measurements:
            metric = metrics.get(cell.kind, {}).get(measurement.metric)
            shared = {**base, "metric": measurement.metric, "unit": metric.unit if metric else None, **axes}
            yield shared, measurement.steps or range(len(measurement.values)), measurement.values


def frame(run: Run) -> pandas.DataFrame:
    """The rows as a DataFrame; an empty run still has its columns."""
    import pandas

    alike = list(values_of(run).alike())
    if not alike:
        return pandas.DataFrame(columns=list(COLUMNS))
    shared = pandas.DataFrame([once for once, _, _ in alike])
    found = shared.loc[shared.index.repeat([len(values) for _, _, values in alike])].reset_index(drop=True)
    found.insert(COLUMNS.index("step"), "step", list(chain.from_iterable(steps for _, steps, _ in alike)))
    found.insert(COLUMNS.index("value"), "value", list(chain.from_iterable(values for _, _, values in alike)))
    return found
