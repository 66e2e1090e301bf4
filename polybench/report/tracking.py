"""A run as what experiment trackers take: a tracked run for each training, and for each cell without curves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from datetime import datetime

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, typical
from polybench.machine.environment import fingerprint
from polybench.measure.kinds.pretrain import TRAIN_TIME
from polybench.metric import Metric
from polybench.plan.labels import Labels
from polybench.record import Record
from polybench.report.wording import change_entry
from polybench.run.store import Run
from polybench.spec import Scalar
from polybench.stats import paired
from polybench.tracked import Curve, Tracked


def tracked(run: Run) -> tuple[Tracked, ...]:
    """Every training of a run, those that tuned a rate too, then a cell each of what was only timed or counted."""
    comparisons = Comparisons.of(run)
    names = Labels.of(r.trial for r in run.records)
    trained: list[Tracked] = []
    others: list[Tracked] = []
    for point in comparisons.whole.cells.values():
        metrics = comparisons.run.metrics[point.cell.kind]
        curves = {r.trial.id: _curves(r, metrics) for r in point.records}
        for record in point.records if any(curves.values()) else ():
            found = _tracked(comparisons, point, record, names.of_trial(record.trial), curves[record.trial.id])
            trained.append(found)
        if not any(curves.values()):
            others.append(_tracked(comparisons, point, None, names.of_cell(point.records[0].trial), ()))
    return (*trained, *others)


def _tracked(
    comparisons: Comparisons, point: Point, record: Record | None, name: str, curves: tuple[Curve, ...]
) -> Tracked:
    first = record or point.records[0]
    times = record.get(TRAIN_TIME.name) if record else None
    return Tracked(
        project=comparisons.run.suite.suite,
        group=comparisons.run.name,
        name=name,
        activation=point.cell.activation,
        config=_config(comparisons, point, record),
        summary=dict(_summary(comparisons, point, record)),
        curves=curves,
        started=_moment(first.started_at or str(comparisons.stored.header.get("started_at", ""))),
        seconds=dict(zip(times.steps or (), times.values, strict=False)) if times else {},
    )


def _curves(record: Record, metrics: dict[str, Metric]) -> tuple[Curve, ...]:
    """What runs along the steps of a training; what runs along layers or corpora has no place in a tracker.

    Steps below 0 are no steps but the logarithms of a scale, as errors run along.
    """
    return tuple(
        Curve(m.metric, metric.unit, steps, m.values)
        for m in record.measurements
        if (metric := metrics.get(m.metric)) and metric.curve and metric.along == "step"
        if min(steps := m.steps or tuple(range(1, len(m.values) + 1))) >= 0
    )


def _config(comparisons: Comparisons, point: Point, record: Record | None) -> dict[str, Scalar]:
    cell, environment = point.cell, comparisons.run.environment
    told: dict[str, Scalar] = {
        **dict(cell.axes),
        "benchmark": point.benchmark,
        "kind": cell.kind,
        "activation": cell.activation,
        "backend": cell.backend,
        "device": cell.device,
        "dtype": cell.dtype,
        "reference": comparisons.reference,
        "trials": len(point.records),
        "machine": fingerprint(environment),
        "cpu": str(environment.get("cpu", "")),
        "torch": str(environment.get("packages", {}).get("torch") or environment.get("torch", "")),
        "polybench": str(environment.get("polybench", "")),
        "code": str(environment.get("code", "")),
    }
    if record is None:
        return told
    own: dict[str, Scalar] = {"seed": record.trial.seed, "status": record.status.value}
    own |= {"error": record.error} if record.error else {}
    own |= {"same_as": record.same_as} if record.same_as else {}
    return {**told, **own}


def _summary(comparisons: Comparisons, point: Point, record: Record | None) -> Iterator[tuple[str, float | str]]:
    """The value of the training itself, or of the cell; then what all seeds of the cell say, with intervals."""
    for metric in comparisons.run.metrics[point.cell.kind].values():
        value = None if metric.curve else _value(point, metric, record)
        if value is None:
            continue
        name = metric.name
        yield name, value if math.isfinite(value) else str(value)  # which no tracker draws
        seeds = [v for r in point.ok() if (m := r.get(name)) for v in m.values]
        if metric.varies_with == "seed" and len(seeds) > 1 and all(map(math.isfinite, seeds)):
            mean = paired(seeds)
            yield from ((f"{name}/mean", mean.value), (f"{name}/low", mean.low), (f"{name}/high", mean.high))
        yield from _beside_reference(comparisons, point, metric)


def _value(point: Point, metric: Metric, record: Record | None) -> float | None:
    if record is None:
        return typical(point, metric)
    found = record.get(metric.name)
    return statistics.fmean(found.values) if found and found.values else None


def _beside_reference(comparisons: Comparisons, point: Point, metric: Metric) -> Iterator[tuple[str, float | str]]:
    """The ratio or difference to the reference with its interval, and the verdict where there is one."""
    comparison = comparisons.to_reference(metric.name).get(point)
    if comparison is None or comparison.change is None:
        return
    what = f"{metric.name}/{'over' if metric.effect == 'ratio' else 'less'} {comparisons.reference}"
    change = comparison.change
    yield what, change.value
    if change.known and change.low < change.high:
        yield from ((f"{what}, low", change.low), (f"{what}, high", change.high))
    if verdict := change_entry(comparison, comparisons.reference).outcome:
        yield f"{what}, verdict", verdict


def _moment(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; 0 of what is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
