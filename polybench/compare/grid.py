"""Records aligned: the trials of a cell, and the same block or seed of two cells side by side."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from polybench.metric import Metric
from polybench.plan.tuning import TUNING
from polybench.record import Record, Status
from polybench.run.store import Run
from polybench.stats import Estimate, launch_excess, of_launches
from polybench.trial import Cell

Group = tuple[str, Cell]  # a benchmark, and a cell without its activation
PARAMETERS = "parameters"


@dataclass(frozen=True)
class Point:
    """All trials of one cell: its records by seed, the second copy of the reference apart."""

    benchmark: str
    cell: Cell
    records: tuple[Record, ...] = field(compare=False)  # the first two say which point of a run it is

    def ok(self) -> list[Record]:
        return [r for r in self.records if r.status is Status.OK]

    def values(self, metric: str) -> list[float]:
        """Every value of every seed, in the order of the seeds."""
        return [v for r in self.records for m in r.measurements if m.metric == metric for v in m.values]

    def trouble(self) -> str:
        """`2 of 3 diverged: the loss became nan` for whatever did not go well, else nothing."""
        bad = [r for r in self.records if r.status is not Status.OK]
        if not bad:
            return ""
        kinds = Counter(r.status for r in bad)
        counts = ", ".join(f"{n} of {len(self.records)} {s.replace('_', ' ')}" for s, n in kinds.items())
        return f"{counts}: {bad[0].error}" if bad[0].error else counts


def points(run: Run, controls: bool = False) -> list[Point]:
    """The cells of a run in its suite's order; with `controls` the second copies instead."""
    groups: dict[tuple[str, Cell], list[Record]] = defaultdict(list)
    for record in run.records:
        if record.trial.control == controls:
            groups[record.trial.benchmark, record.trial.cell].append(record)
    benchmarks = [b["name"] for b in run.suite["benchmarks"]]
    backends = {b["name"]: list(b["backends"]) for b in run.suite["benchmarks"]}
    activations = list(run.suite["activations"])

    def place(key: tuple[str, Cell]) -> tuple[Any, ...]:
        benchmark, cell = key
        axes = tuple((k, v if isinstance(v, int | float) else 0, str(v)) for k, v in cell.axes)
        return (
            _index(benchmarks, benchmark),
            axes,
            cell.dtype,
            _index(backends.get(benchmark, []), cell.backend),
            _index(activations, cell.activation),
        )

    ordered = sorted(groups.items(), key=lambda item: place(item[0]))
    return [Point(b, c, tuple(sorted(rs, key=lambda r: r.trial.seed))) for (b, c), rs in ordered]


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
    return dict(record.trial.cell.axes).get("varies")


class Grid:
    """The points of a run by benchmark and cell, and what all activations of one place have in common."""

    def __init__(self, run: Run):
        self.cells = {(p.benchmark, p.cell): p for p in points(run)}
        self.controls = {(p.benchmark, p.cell): p for p in points(run, controls=True)}
        self._reference = run.suite["reference"]
        self._margin = run.suite["margin"]
        protocols = {b["name"]: b.get("protocol", {}) for b in run.suite["benchmarks"]}
        self._margins = {name: p["margin"] for name, p in protocols.items() if "margin" in p}
        self._groups: dict[tuple[str, Cell], list[Point]] = defaultdict(list)
        for (benchmark, cell), point in (*self.cells.items(), *self.controls.items()):
            self._groups[benchmark, cell.place].append(point)
        self._excess: dict[tuple[str, Cell, str], float | None] = {}

    def margin(self, benchmark: str) -> float:
        """The least ratio that matters: the benchmark's own, else the suite's."""
        return float(self._margins.get(benchmark, self._margin))

    def twin(self, point: Point, activation: str) -> Point | None:
        """The same cell for another activation."""
        return self.cells.get((point.benchmark, point.cell.of(activation)))

    def rivals(self, point: Point) -> int:
        """How many others it is compared with in its cell, one at least."""
        return max(1, len(self._groups[point.benchmark, point.cell.place]) - 1)

    def excess(self, base: Point, metric: str) -> float | None:
        """How much launches differ beyond their blocks, over all that was measured beside `base`."""
        key = base.benchmark, base.cell, metric
        if key not in self._excess:
            group = self._groups[base.benchmark, base.cell.place]
            self._excess[key] = launch_excess([block_ratios(p, base, metric) for p in group if p is not base])
        return self._excess[key]

    def noise(self, point: Point, metric: str) -> Estimate | None:
        """Log-ratio of the reference's second copy to its first: what this machine calls equal there."""
        base = self.twin(point, self._reference)
        control = self.controls.get((point.benchmark, point.cell.of(self._reference)))
        launches = block_ratios(control, base, metric) if base and control else []
        return of_launches(launches, excess=self.excess(base, metric)) if base and launches else None


def typical(point: Point, metric: Metric) -> float | None:
    """Median of times, mean over seeds, the one value of exact counts; None when nothing was measured."""
    values = point.values(metric.name)
    if not values:
        return None
    if metric.varies_with == "sample":
        return statistics.median(values)
    return statistics.fmean(values) if metric.varies_with == "seed" else max(values)


def block_ratios(point: Point, other: Point, metric: str) -> list[list[float]]:
    """Log-ratios block by block, a list a launch; only blocks of one job are paired."""
    by_seed = {r.trial.seed: r for r in other.ok()}
    launches = []
    for record in point.ok():
        twin = by_seed.get(record.trial.seed)
        mine, theirs = record.get(metric), twin.get(metric) if twin else None
        if not (twin and mine and theirs) or twin.started_at != record.started_at:
            continue
        if len(mine.values) == len(theirs.values) and min(*mine.values, *theirs.values, math.inf) > 0:
            launches.append([math.log(a / b) for a, b in zip(mine.values, theirs.values, strict=True)])
    return launches


def seed_differences(point: Point, other: Point, metric: Metric) -> list[float]:
    """value - other, or their log-ratio, of every seed that both finished on the same data, times on one machine.

    Beside a value of exactly 0 a log-ratio is infinite, unless both are 0 and so equal.
    """
    by_seed = {r.trial.seed: r for r in other.ok()}
    found = []
    for record in point.ok():
        twin = by_seed.get(record.trial.seed)
        mine, theirs = record.get(metric.name), twin.get(metric.name) if twin else None
        other_machine = metric.of_time and twin and len(machines([twin, record])) > 1
        if twin and mine and theirs and not other_machine and dict(twin.facts) == dict(record.facts):
            a, b = statistics.fmean(mine.values), statistics.fmean(theirs.values)
            if metric.effect == "ratio" and 0 < a < math.inf and 0 < b < math.inf:
                found.append(math.log(a) - math.log(b))  # a / b may be out of range
            elif metric.effect == "ratio" and a != b and 0 in (a, b):
                found.append(math.copysign(math.inf, a - b))
            else:
                found.append(a - b)
    return found


def machines(records: Iterable[Record]) -> set[str]:
    """The fingerprints of where they were measured, of those that say so."""
    return {r.machine for r in records} - {""}


def matches(point: Point, where: dict[str, Any]) -> bool:
    """Whether a cell has the wanted values; each is one value or a list of them."""
    cell = point.cell
    known = {**dict(cell.axes), "benchmark": point.benchmark, "kind": cell.kind, "activation": cell.activation,
             "backend": cell.backend, "device": cell.device, "dtype": cell.dtype}  # fmt: skip
    return all(known.get(k) in (v if isinstance(v, list) else [v]) for k, v in where.items())


def _index(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)


def of_seeds(point: Point, metric: str) -> list[float]:
    """The finite values of the seeds that ended well; a rate of nothing cannot be inverted and is dropped."""
    return [v for r in point.ok() if (m := r.get(metric)) for v in m.values if math.isfinite(v) and v > 0]


def by_step(point: Point, metric: Metric) -> dict[int, list[float]]:
    """The values of the seeds that ended well by what a curve runs along: a step, a layer, log10 of a scale."""
    found: dict[int, list[float]] = defaultdict(list)
    for record in point.ok():
        curve = record.get(metric.name)
        for step, value in zip(curve.steps or (), curve.values, strict=True) if curve else ():
            found[step].append(value)
    return found


def grouped(found: Iterable[Point]) -> dict[Group, list[Point]]:
    """Points by what they have in common: everything but the activation."""
    groups: dict[Group, list[Point]] = defaultdict(list)
    for point in found:
        groups[point.benchmark, point.cell.place].append(point)
    return groups


def differences_of(grid: Grid, point: Point, against: str, metric: Metric) -> list[float]:
    """value - other of every seed that both activations finished; none without the other."""
    other = grid.twin(point, against)
    return seed_differences(point, other, metric) if other else []
