"""Times of one machine over several runs. A session is the unit: what holds for one need not hold for the next."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

from polybench.compare.comparison import Comparison, decide, exp
from polybench.compare.comparisons import Comparisons
from polybench.compare.family import corrected
from polybench.compare.points import SHAKY, OfPoint, Point, typical
from polybench.compare.sessions import biasing, flaw, protocol_differences
from polybench.errors import NothingMeasured, ResultsError, in_short
from polybench.launches import beyond, margin_beside
from polybench.machine.environment import differences
from polybench.medians import variance_of_median
from polybench.metric import Metric, in_full
from polybench.record import Record
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_TIME, Estimate, p_beyond, paired
from polybench.trial import Cell

Key = tuple[str, Cell]  # a benchmark and a cell


@dataclass(frozen=True)
class Pooled(OfPoint):
    """A cell's time beside the reference's over several sessions.

    `ratios` holds each session's ratio, None where it has no such cell. `between` is the standard deviation of their
    logarithms, `within` the error of one that its launches explain; both NaN where there are too few. `noise` is the
    ratio of the reference's second copy, over the same sessions.
    """

    point: Point
    comparison: Comparison
    ratios: tuple[float | None, ...]
    between: float
    within: float
    noise: Estimate | None


@dataclass(frozen=True)
class Pool:
    """Sessions that may be pooled, and what they say together of one metric."""

    sessions: tuple[Comparisons, ...]
    metric: Metric
    cells: tuple[Pooled, ...]

    @property
    def reference(self) -> str:
        return self.sessions[0].reference

    def margin(self, benchmark: str) -> float:
        """The largest that a session asks for."""
        return max(s.grid.margin(benchmark) for s in self.sessions)


def pool(runs: Sequence[Run], metric: str) -> Pool:
    """What the runs say together of a metric of time.

    Raises:
        ResultsError: they are not sessions of one measurement on one machine.
        NothingMeasured: none of them compares times of that name.
    """
    sessions = tuple(Comparisons.of(run) for run in runs)
    for one, other in combinations(sessions, 2):
        if why := _apart(one, other):
            raise ResultsError(f"{one.run.path} and {other.run.path} cannot be pooled: {why}")
    for one in sessions:
        if why := flaw(one.stored):
            raise ResultsError(f"{one.run.path} cannot be pooled: {why}")
    known = next((m for s in sessions for m in s.metrics().values() if m.name == metric), None)
    if known is None or known.varies_with != "sample" or known.better == "neither":
        raise NothingMeasured(
            f"no run here compares times called {in_short(metric)}; total_time is what speed measures"
        )
    empty = Pool(sessions, known, ())
    keys = dict.fromkeys(chain.from_iterable(s.grid.cells for s in sessions))
    cells = [found for key in keys if (found := _pooled(empty, key))]
    if not cells:
        raise NothingMeasured(f"no cell of these runs has a {metric}")
    judged = corrected([c.comparison for c in cells])
    return replace(empty, cells=tuple(replace(c, comparison=j) for c, j in zip(cells, judged, strict=True)))


def _pooled(of: Pool, key: Key) -> Pooled | None:
    metric = of.metric
    points = [s.grid.cells.get(key) for s in of.sessions]
    there = [p for p in points if p is not None and typical(p, metric) is not None]
    if not there:
        return None
    launches = [_launches(s, p, metric) for s, p in zip(of.sessions, points, strict=True)]
    logs = [statistics.fmean(map(statistics.median, found)) if found else None for found in launches]
    known = [x for x in logs if x is not None]
    medians = [v for p in there if (v := typical(p, metric)) is not None]
    blank = Comparison(there[0], metric, of.reference, statistics.median(medians), None, None, "none")
    noise = _noise(of, there[0])
    errors = [e for found in launches if found and math.isfinite(e := _error(found))]
    return Pooled(
        there[0],
        _judged(blank, known, math.log1p(of.margin(key[0])), noise) if known else blank,
        tuple(None if x is None else exp(x) for x in logs),
        statistics.stdev(known) if len(known) > 1 else math.nan,
        math.sqrt(statistics.fmean(e**2 for e in errors)) if errors else math.nan,
        noise.map(exp) if noise else None,
    )


def _judged(blank: Comparison, logs: Sequence[float], least: float, noise: Estimate | None) -> Comparison:
    """Sessions' log-ratios by the rule that one session's launches are judged by."""

    def interval(confidence: float = CONFIDENCE_TIME) -> Estimate:
        return paired(logs, confidence)

    found = interval()
    shown = replace(blank, change=found.map(exp) if found.known else Estimate(exp(found.value), 0.0, math.inf, 1))
    if noise and beyond(noise, least):
        return replace(shown, outcome="unstable", note=SHAKY)
    limit = margin_beside(least, noise.value) if noise else least
    p = p_beyond(interval, limit) if found.known else None
    return replace(shown, outcome=decide(found, limit, blank.metric, same=least), p=p)


def _launches(session: Comparisons, point: Point | None, metric: Metric) -> Sequence[Sequence[float]]:
    """Log-ratios to the reference, block by block, a list a launch; none for the reference itself."""
    base = session.grid.twin(point, session.reference) if point else None
    if point is None or base is None or base.cell == point.cell:
        return []
    return session.grid.ratios(point, base, metric.name)


def _noise(of: Pool, point: Point) -> Estimate | None:
    """Log-ratio of the reference's second copy to its first, over the sessions that have one."""
    key = point.benchmark, point.cell.of(of.reference)
    offsets = []
    for session in of.sessions:
        base, control = session.grid.cells.get(key), session.grid.controls.get(key)
        if base and control and (found := session.grid.ratios(control, base, of.metric.name)):
            offsets.append(statistics.fmean(map(statistics.median, found)))
    return paired(offsets, CONFIDENCE_TIME) if offsets else None


def _error(launches: Sequence[Sequence[float]]) -> float:
    """Standard error of a session's mean over launches, as its launches or the blocks of its only one show it."""
    if len(launches) > 1:
        return statistics.stdev(map(statistics.median, launches)) / math.sqrt(len(launches))
    return math.sqrt(variance_of_median(launches[0]))


def _apart(one: Comparisons, other: Comparisons) -> str:
    """Why two runs are not two sessions of the same measurement; nothing where they are."""
    if {_moment(r) for r in one.stored.records} & {_moment(r) for r in other.stored.records}:
        return "they share trials, so they are one session and not two"
    if found := differences(one.run.environment, other.run.environment):
        return f"they were measured on machines that differ ({'; '.join(found)})"
    if one.reference != other.reference:
        return f"their references differ ({one.reference} / {other.reference})"
    shared = [key for key in one.grid.cells if key in other.grid.cells]
    if not shared:
        return "they share no cell"
    for benchmark in dict.fromkeys(benchmark for benchmark, _ in shared):
        stated = (biasing(side.grid.benchmark(benchmark)) for side in (one, other))
        if found := protocol_differences(*stated):
            return f"{benchmark} was measured otherwise ({'; '.join(found)})"
    return next(filter(None, (_other_count(one, other, key) for key in shared)), "")


def _moment(record: Record) -> tuple[str, str]:
    return record.trial.id, record.started_at


def _other_count(one: Comparisons, other: Comparisons, key: Key) -> str:
    """Exact counts are no times, and differ only where something else was measured."""
    a, b = one.grid.cells[key], other.grid.cells[key]
    for metric in one.run.metrics[a.cell.kind].values():
        if metric.varies_with == "nothing" and not metric.curve:
            was, now = typical(a, metric), typical(b, metric)
            if was is not None and now is not None and was != now:
                what = f"{metric.name} of {key[0]}/{a.cell.activation}"
                return f"{what} is {in_full(was)} in one and {in_full(now)} in the other"
    return ""
