"""All trials of a cell together, in the order of the suite, and what one such point says of a metric."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar

from polybench.measure.kinds.pretrain import PARAMETERS as TRAINED
from polybench.metric import Metric
from polybench.plan import governing
from polybench.plan.tuning import TUNING
from polybench.record import Record, Status
from polybench.run.store import Run
from polybench.trial import Cell

PARAMETERS = TRAINED.name
TIMELESS = "not comparable: a time of 0"
SHAKY = "the second copy of the reference differs from the first"
Group = tuple[str, Cell]  # a benchmark, and a cell without its activation


class Placed(Protocol):
    """What belongs to one cell of a benchmark."""

    @property
    def benchmark(self) -> str: ...

    @property
    def cell(self) -> Cell: ...


Member = TypeVar("Member", bound=Placed)


def by_place(members: Iterable[Member]) -> dict[Group, list[Member]]:
    """What is compared side by side: all of one place, which is everything but the activation."""
    groups: dict[Group, list[Member]] = defaultdict(list)
    for member in members:
        groups[member.benchmark, member.cell.place].append(member)
    return groups


@dataclass(frozen=True)
class Point:
    """All trials of one cell: its records by seed. A `control` is the second copy of the reference."""

    benchmark: str
    cell: Cell
    records: tuple[Record, ...] = field(compare=False)  # the rest says which point of a run it is
    control: bool = False

    @cached_property
    def evidence(self) -> frozenset[str]:
        """The trials that were carried out for it: two points that share them are asked one question."""
        return frozenset(r.same_as or r.trial.id for r in self.records)

    def ok(self) -> list[Record]:
        return [r for r in self.records if r.status is Status.OK]

    def values(self, metric: str) -> list[float]:
        """Every value of every seed, in the order of the seeds."""
        return list(self._values.get(metric, ()))

    @cached_property
    def _values(self) -> dict[str, list[float]]:
        by_metric: dict[str, list[float]] = defaultdict(list)
        for record in self.records:
            for measurement in record.measurements:
                by_metric[measurement.metric] += measurement.values
        return dict(by_metric)

    @property
    def diverged(self) -> str:
        """`3 of 8 diverged` where any did: a mean over those that did not is no estimate of anything."""
        count = sum(r.status is Status.DIVERGED for r in self.records)
        return f"{count} of {len(self.records)} {Status.DIVERGED.words}" if count else ""

    def trouble(self) -> str:
        """`2 of 3 diverged: the loss became nan` for whatever did not go well, else nothing."""
        bad = [r for r in self.records if r.status is not Status.OK]
        if not bad:
            return ""
        kinds = Counter(r.status for r in bad)
        counts = ", ".join(f"{n} of {len(self.records)} {s.words}" for s, n in kinds.items())
        return f"{counts}: {bad[0].error}" if bad[0].error else counts


def by_trainings(groups: Iterable[list[Point]]) -> dict[frozenset[str], list[Point]]:
    """By what was carried out for them: of two groups that are one but in name the first stays."""
    found: dict[frozenset[str], list[Point]] = {}
    for group in groups:
        found.setdefault(frozenset().union(*(p.evidence for p in group)), group)
    return found


class OfPoint:
    """What tells something of a point, and stands at its place."""

    point: Point

    @property
    def benchmark(self) -> str:
        return self.point.benchmark

    @property
    def cell(self) -> Cell:
        return self.point.cell

    @property
    def activation(self) -> str:
        return self.point.cell.activation


def points(run: Run) -> list[Point]:
    """The cells of a run in its suite's order, the second copy of a reference behind the first."""
    groups: dict[tuple[str, Cell, bool], list[Record]] = defaultdict(list)
    for record in run.records:
        groups[record.trial.benchmark, record.trial.cell, record.trial.control].append(record)
    benchmarks = [b.name for b in run.suite.benchmarks]
    backends = {b.name: b.backends for b in run.suite.benchmarks}

    def place(key: tuple[str, Cell, bool]) -> tuple[Any, ...]:
        benchmark, cell, control = key
        axes = tuple((k, v if isinstance(v, int | float) else 0, str(v)) for k, v in cell.axes)
        return (
            _index(benchmarks, benchmark),
            axes,
            cell.dtype,
            _index(backends.get(benchmark, []), cell.backend),
            _index(run.suite.activations, cell.activation),
            control,
        )

    ordered = sorted(groups.items(), key=lambda item: place(item[0]))
    return [Point(b, c, tuple(sorted(rs, key=lambda r: r.trial.seed)), control) for (b, c, control), rs in ordered]


def compared(run: Run) -> Run:
    """The run without the trials that compare no activations: those that tune a rate, and single sources of spread.

    Where a benchmark holds several values of the axis `varies`, only those stay whose seeds vary everything.
    """
    sources: dict[str, set[Any]] = defaultdict(set)
    for record in run.records:
        sources[record.trial.benchmark].add(_varies(record))
    kept = tuple(
        r
        for r in run.records
        if not r.trial.benchmark.endswith(TUNING)
        and (len(sources[r.trial.benchmark]) == 1 or _varies(r) in ("both", None))
    )
    return run if len(kept) == len(run.records) else replace(run, records=kept)


def _varies(record: Record) -> Any:
    return record.trial.cell.get("varies")


def typical(point: Point, metric: Metric) -> float | None:
    """Median of times, mean over seeds, the one value of exact counts; None when nothing was measured."""
    values = point.values(metric.name)
    if not values:
        return None
    if metric.varies_with == "sample":
        return statistics.median(values)
    return statistics.fmean(values) if metric.varies_with == "seed" else max(values)


def of_seeds(point: Point, metric: str, signed: bool = False) -> list[float]:
    """The finite values of the seeds that ended well; a rate of nothing cannot be inverted and is dropped.

    What is `signed` is compared by difference, so that nothing of it is dropped.
    """
    values = (v for r in point.ok() if (m := r.get(metric)) for v in m.values)
    return [v for v in values if math.isfinite(v) and (signed or v > 0)]


def stopped(point: Point, *metrics: str) -> bool:
    """Whether one of these times is 0 or less, or no number: no clock says so, and there is no ratio to it."""
    every = (values for metric in metrics if (values := point.values(metric)))
    return any(not min(values) > 0 or math.isnan(sum(values)) for values in every)


def by_step(point: Point, metric: Metric) -> dict[int, list[float]]:
    """The values of the seeds that ended well by what a curve runs along: a step, a layer, log10 of a scale."""
    values_by_step: dict[int, list[float]] = defaultdict(list)
    for record in point.ok():
        curve = record.get(metric.name)
        for step, value in zip(curve.steps or (), curve.values, strict=True) if curve else ():
            values_by_step[step].append(value)
    return values_by_step


def lost(point: Point, other: Point) -> str:
    """Which seeds of either diverged, of the first in the first place; nothing where none did."""
    return point.diverged or (f"{other.cell.activation}: {other.diverged}" if other.diverged else "")


def machines(records: Iterable[Record]) -> set[str]:
    """The fingerprints of where they were measured, of those that say so."""
    return {r.machine for r in records} - {""}


def matches(point: Point, where: Mapping[str, Any]) -> bool:
    """Whether the cell has the wanted values."""
    return governing.matches(point.benchmark, point.cell, where)


def _index(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)
