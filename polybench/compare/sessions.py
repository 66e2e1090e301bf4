"""What one session keeps of a run: its times, and what must be equal for another session's to be compared."""

from __future__ import annotations

import math
import operator
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, machines, of_seeds, stopped, typical
from polybench.errors import RegistryError
from polybench.kind import Protocol, kind_of
from polybench.machine.environment import differences, identity
from polybench.measure.speed_metrics import COPY, PRODUCT
from polybench.medians import variance
from polybench.metric import Metric
from polybench.plan.suite import Benchmark
from polybench.run.store import Run
from polybench.spec import Scalar
from polybench.trial import Cell

# What times are divided by, so that two sessions can be compared: work with the same bottleneck.
YARDSTICKS = {"activation": COPY.name, "block": PRODUCT.name, "decoder": PRODUCT.name}
Key = tuple[str, Cell, str]  # a benchmark, a cell and a metric


@dataclass(frozen=True)
class Timed:
    """A time, or a rate, of one cell in one session.

    `typical` is in the metric's unit. `logs` are natural logarithms, one a launch or a seed: of launches the median
    over their rounds of the time over the yardstick's, of seeds the value itself.
    """

    typical: float
    logs: tuple[float, ...]

    @property
    def level(self) -> float:
        return statistics.fmean(self.logs)

    @property
    def variance(self) -> float:
        """Of the level, as its launches show it; NaN of a single one."""
        return variance(self.logs) / len(self.logs) if len(self.logs) > 1 else math.nan


@dataclass(frozen=True)
class Session:
    """All that one run measured of times. `environment` is what the fingerprint is made of.

    `protocols` say by benchmark what of its protocol may bias a time.
    """

    started_at: str
    code: str
    environment: Mapping[str, Any]
    protocols: Mapping[str, Mapping[str, Scalar]]
    times: Mapping[Key, Timed]


def is_timed(metric: Metric) -> bool:
    """Whether it hangs on the machine and the hour, so that sessions are its sample."""
    return metric.of_time or metric.varies_with == "sample"


def timed(point: Point, metric: Metric) -> Timed | None:
    """What one session says of a time; None without a yardstick in the same rounds, or where it is 0 or has no end."""
    value = typical(point, metric)
    if value is None or not math.isfinite(value) or stopped(point, metric.name, yardstick(point)):
        return None
    if metric.varies_with == "sample":
        logs = [_median_log(launch) for launch in _over_yardstick(point, metric)]
    else:
        logs = [math.log(v) for v in of_seeds(point, metric.name)]
    return Timed(value, tuple(logs)) if logs else None


def yardstick(point: Point) -> str:
    return YARDSTICKS.get(str(point.cell.get("level")), COPY.name)


def _over_yardstick(point: Point, metric: Metric) -> list[list[float]]:
    """The time over the yardstick's of the same round, of a rate the rate times it, a list a launch."""
    combined = operator.mul if metric.unit.endswith("/s") else operator.truediv
    launches = []
    for record in point.ok():
        mine, yard = record.get(metric.name), record.get(yardstick(point))
        if mine and yard and len(mine.values) == len(yard.values):
            launches.append(list(map(combined, mine.values, yard.values)))
    return launches


def _median_log(ratios: Sequence[float]) -> float:
    """The median of their logarithms, of which no more than two are taken."""
    ordered = sorted(ratios)
    middle = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return statistics.fmean(map(math.log, middle))


def session_of(comparisons: Comparisons) -> Session:
    """Every time of a run that has a good direction."""
    run, grid = comparisons.run, comparisons.grid
    found = {
        (point.benchmark, point.cell, metric.name): one
        for point in comparisons.points()
        for metric in run.metrics[point.cell.kind].values()
        if is_timed(metric) and metric.better != "neither" and not metric.curve and (one := timed(point, metric))
    }
    names = dict.fromkeys(benchmark for benchmark, _, _ in found)
    environment = run.environment
    return Session(
        started_at=str(run.header.get("started_at", "")),
        code=str(environment.get("code", "")),
        environment=identity(environment),
        protocols={name: biasing(grid.benchmark(name)) for name in names},
        times=found,
    )


def flaw(run: Run) -> str:
    """Why a run is no session; nothing where it is one."""
    sources = [s["environment"] for s in run.header.get("sources", ())]
    if any(differences(sources[0], other) for other in sources) or len(machines(run.records)) > 1:
        return "it was measured on several machines, and times of one are compared"
    if forced := run.header.get("forced"):
        return f"it was resumed after changes ({'; '.join(forced)})"
    return ""


def protocol_differences(one: Mapping[str, Scalar], other: Mapping[str, Scalar]) -> list[str]:
    """What differs of two benchmarks' protocols that may bias a time, such as a heap or a sample's length."""
    keys = sorted({*one, *other})
    return [f"protocol {k}: {one.get(k)} / {other.get(k)}" for k in keys if one.get(k) != other.get(k)]


def biasing(stated: Benchmark | None) -> dict[str, Scalar]:
    """What of a protocol may bias a time; all that is said where the kind is not here any more."""
    if stated is None:
        return {}
    try:
        return kind_of(stated.kind).protocol.biasing(stated.protocol)
    except RegistryError:
        return Protocol.biasing(stated.protocol)
