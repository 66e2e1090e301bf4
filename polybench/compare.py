"""Inside one run: every activation against another, by the statistic that its metric asks for."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from polybench.cell import Cell
from polybench.metric import Metric
from polybench.record import Record, Status
from polybench.stats import Estimate, more_seeds, of_launches, paired, t_test
from polybench.store import Run

Outcome = Literal["better", "worse", "same", "unresolved", "unstable", "none"]


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


@dataclass(frozen=True)
class Comparison:
    """One cell and metric beside another activation's: typical values and their ratio or difference.

    `change` is value / against (ratio) or value - against (difference); None where there is nothing
    to compare. `outcome` has the metric's good direction applied already.
    """

    point: Point
    metric: Metric
    against: str
    value: float | None
    reference: float | None
    change: Estimate | None
    outcome: Outcome
    p: float | None = None
    note: str = ""

    @property
    def cell(self) -> Cell:
        return self.point.cell


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


def across(run: Run, against: str | None = None, only: str | None = None) -> list[Comparison]:
    """Every cell and scalar metric (or `only` one) against an activation, by default the reference."""
    reference = against or run.suite["reference"]
    margin = float(run.suite["margin"])
    cells = {(p.benchmark, p.cell): p for p in points(run)}
    controls = {(p.benchmark, p.cell): p for p in points(run, controls=True)}
    metrics = run.metrics
    found = []
    for (benchmark, cell), point in cells.items():
        other = cells.get((benchmark, cell.beside(reference)))
        control = controls.get((benchmark, cell.beside(run.suite["reference"])))
        base = cells.get((benchmark, cell.beside(run.suite["reference"])))
        noise = copy_ratios(base, control, only)
        for metric in metrics[cell.kind].values():
            if not metric.curve and only in (None, metric.name):
                found.append(_compare(point, other, metric, reference, margin, noise.get(metric.name)))
    return found


def _compare(
    point: Point, other: Point | None, metric: Metric, against: str, margin: float, noise: Estimate | None
) -> Comparison:
    value, reference = typical(point, metric), typical(other, metric) if other else None
    blank = Comparison(point, metric, against, value, reference, None, "none", note=point.trouble())
    if other is None or value is None or reference is None or point.cell == other.cell:
        return blank
    if metric.varies_with == "nothing":
        return _exact(blank)
    if metric.varies_with == "sample":
        launches = block_ratios(point, other, metric.name)
        if not launches:
            return blank
        log_ratio = of_launches(launches)
        limit = least = math.log1p(margin)
        if noise:
            # What equal code showed is no difference: the margin covers it and its interval.
            limit = max(limit, 2 * abs(noise.value), abs(noise.low), abs(noise.high))
        outcome, note = decide(log_ratio, limit, metric, same=least), blank.note
        if noise and metric.better != "neither" and (noise.low > least or noise.high < -least):
            outcome, note = "unstable", "the second copy of the reference differs from the first"
        return Comparison(point, metric, against, value, reference, log_ratio.map(_exp), outcome, None, note)
    differences = seed_differences(point, other, metric)
    if not differences:
        return blank
    if not all(map(math.isfinite, differences)):
        missed = sum(not math.isfinite(v) for v in point.values(metric.name))
        if not missed and all(map(math.isfinite, other.values(metric.name))):
            return replace(blank, outcome=_beside_nothing(differences, metric))
        note = f"{metric.name} not reached by {missed} of {len(point.values(metric.name))} seeds"
        return Comparison(point, metric, against, value, reference, None, "unresolved", None, note)
    estimate, ratio = paired(differences), metric.effect == "ratio"
    outcome = decide(estimate, math.log1p(margin) if ratio else 0.0, metric)
    note = blank.note
    if outcome == "unresolved" and not ratio:
        more = more_seeds(differences)
        if len(differences) < 2:
            return replace(blank, change=estimate, outcome=outcome, note=note or "needs 2 more seeds at least")
        note = "; ".join(
            filter(None, [note, f"about {more} more seed{'s' if more > 1 else ''}" if more else "over 1000 more seeds"])
        )
    change = estimate.map(_exp) if ratio else estimate
    return Comparison(point, metric, against, value, reference, change, outcome, t_test(differences), note)


def typical(point: Point, metric: Metric) -> float | None:
    """Median of times, mean over seeds, the one value of exact counts; None when nothing was measured."""
    values = point.values(metric.name)
    if not values:
        return None
    if metric.varies_with == "sample":
        return statistics.median(values)
    return statistics.fmean(values) if metric.varies_with == "seed" else max(values)


def decide(change: Estimate, margin: float, metric: Metric, same: float | None = None) -> Outcome:
    """Better or worse when the interval lies beyond the margin, same when it lies within, else unresolved.

    `same` is the margin for equality where noise has raised the other: noise hides, it shows nothing.
    `change` is a log-ratio or a difference. A metric without a good direction is never judged.
    """
    if metric.better == "neither" or not change.known:
        return "none" if metric.better == "neither" else "unresolved"
    if change.low > margin or change.high < -margin:
        return "better" if metric.improves(change.value) else "worse"
    equal = margin if same is None else same
    return "same" if equal and inside(change, equal) else "unresolved"


def inside(change: Estimate, margin: float) -> bool:
    return -margin <= change.low and change.high <= margin


def block_ratios(point: Point, other: Point, metric: str) -> list[list[float]]:
    """Log-ratios block by block, a list a launch; only blocks of one job are paired."""
    beside = {r.trial.seed: r for r in other.ok()}
    launches = []
    for record in point.ok():
        twin = beside.get(record.trial.seed)
        mine, theirs = record.get(metric), twin.get(metric) if twin else None
        if not (twin and mine and theirs) or twin.started_at != record.started_at:
            continue
        if len(mine.values) == len(theirs.values):
            launches.append([math.log(a / b) for a, b in zip(mine.values, theirs.values, strict=True)])
    return launches


def seed_differences(point: Point, other: Point, metric: Metric) -> list[float]:
    """value - other, or their log-ratio, of every seed that both finished on the same data.

    Beside a value of exactly 0 a log-ratio is infinite, unless both are 0 and so equal.
    """
    beside = {r.trial.seed: r for r in other.ok()}
    found = []
    for record in point.ok():
        twin = beside.get(record.trial.seed)
        mine, theirs = record.get(metric.name), twin.get(metric.name) if twin else None
        if twin and mine and theirs and dict(twin.facts) == dict(record.facts):
            a, b = statistics.fmean(mine.values), statistics.fmean(theirs.values)
            if metric.effect == "ratio" and 0 < a < math.inf and 0 < b < math.inf:
                found.append(math.log(a) - math.log(b))  # a / b may be out of range
            elif metric.effect == "ratio" and a != b and 0 in (a, b):
                found.append(math.copysign(math.inf, a - b))
            else:
                found.append(a - b)
    return found


def _beside_nothing(differences: Sequence[float], metric: Metric) -> Outcome:
    """Where a value of exactly 0 leaves no ratio: better or worse only if it is so with every seed."""
    if metric.better == "neither":
        return "none"
    if all(map(metric.improves, differences)):
        return "better"
    return "worse" if all(map(metric.improves, (-d for d in differences))) else "unresolved"


def matches(point: Point, where: dict[str, Any]) -> bool:
    """Whether a cell has the wanted values; each is one value or a list of them."""
    cell = point.cell
    known = {**dict(cell.axes), "benchmark": point.benchmark, "kind": cell.kind, "activation": cell.activation,
             "backend": cell.backend, "device": cell.device, "dtype": cell.dtype}  # fmt: skip
    return all(known.get(k) in (v if isinstance(v, list) else [v]) for k, v in where.items())


def _exact(blank: Comparison) -> Comparison:
    assert blank.value is not None and blank.reference is not None
    outcome: Outcome = "same"
    if blank.value != blank.reference and blank.metric.better != "neither":
        outcome = "better" if blank.metric.improves(blank.value - blank.reference) else "worse"
    elif blank.metric.better == "neither":
        outcome = "none"
    if blank.reference == 0:  # there is no ratio to nothing
        return replace(blank, outcome=outcome)
    ratio = blank.value / blank.reference
    return replace(blank, change=Estimate(ratio, ratio, ratio, 1), outcome=outcome)


def copy_ratios(base: Point | None, control: Point | None, only: str | None = None) -> dict[str, Estimate]:
    """Log-ratio of the reference's second copy to its first, by metric: what this machine calls equal."""
    if base is None or control is None:
        return {}
    names: Iterable[str] = {m.metric for r in control.ok() for m in r.measurements if only in (None, m.metric)}
    ratios: dict[str, Sequence[Sequence[float]]] = {n: block_ratios(control, base, n) for n in names}
    return {name: of_launches(launches) for name, launches in ratios.items() if launches}


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


def _index(known: Sequence[str], name: str) -> int:
    return known.index(name) if name in known else len(known)
