"""One gated cell in two runs: whether it got worse by more than a rule allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from polybench.compare.grid import Grid, Point, seed_differences, typical
from polybench.metric import Metric
from polybench.record import Status
from polybench.stats import Estimate, difference_of_launches, p_beyond, paired
from polybench.trial import Cell

Ruling = Literal["pass", "improved", "fail", "missing", "broken", "inconclusive", "not comparable", "new"]
# What times are divided by, so that two runs can be compared: work with the same bottleneck.
YARDSTICKS = {"activation": "copy_time", "block": "product_time", "decoder": "product_time"}
Bumped = dict[tuple[str, Cell], int]  # versions of the run's cells, by the cell without it
Make = Callable[..., "Verdict"]  # a verdict on the cell at hand: outcome, reason, change, p
Interval = Callable[..., Estimate]  # of a change, at its usual confidence or at the one given


@dataclass(frozen=True)
class Verdict:
    """One gated cell: the rule, both values, their change and what follows."""

    rule: str
    label: str
    metric: Metric
    outcome: Ruling
    baseline: float | None = None
    value: float | None = None
    change: Estimate | None = None
    reason: str = ""
    p: float | None = None  # of no change beyond the tolerance, before correction


def judge(
    name: str,
    rule: dict[str, object],
    metric: Metric,
    old: Point | None,
    new: Point | None,
    differences: list[str],
    bumped: Bumped,
    grids: tuple[Grid, Grid],
) -> Verdict:
    tolerance = float(str(rule["tolerance"]))
    some = new or old
    assert some is not None
    label = describe(some)
    was, now = typical(old, metric) if old else None, typical(new, metric) if new else None

    def verdict(outcome: Ruling, reason: str = "", change: Estimate | None = None, p: float | None = None) -> Verdict:
        return Verdict(name, label, metric, outcome, was, now, change, reason, p)

    if old is None:
        return verdict("new", "the baseline has no such cell")
    if was is None:
        return verdict("not comparable", f"the baseline could not measure it: {old.trouble() or 'no value'}")
    if new is None and (version := bumped.get((old.benchmark, replace(old.cell, version=0)))):
        return verdict("not comparable", f"version {old.cell.version} of {old.cell.kind} became {version}")
    if new is None:
        return verdict("missing", "this cell has vanished from the run")
    if now is None:
        broken = any(r.status.broken for r in new.records)
        return verdict("broken" if broken else "missing", new.trouble() or f"it has no {metric.name}")
    if metric.varies_with == "nothing":
        change = (now - was) / was if was else math.copysign(math.inf, now - was) if now != was else 0.0
        exact = Estimate(1 + change, 1 + change, 1 + change, 1)
        worse = change if metric.better != "higher" else -change
        if metric.better == "neither":
            worse = abs(change)
        if worse > tolerance:
            return verdict("fail", f"{was:,.0f} became {now:,.0f}", exact)
        return verdict("improved" if worse < 0 else "pass", "", exact)
    if metric.varies_with == "sample":
        noises = [grid.noise(p, metric.name) for grid, p in zip(grids, (old, new), strict=True)]
        return _judge_times(verdict, metric, old, new, tolerance, differences, [n for n in noises if n])
    if gone := {r.trial.seed for r in old.ok()} - {r.trial.seed for r in new.records}:
        return verdict("missing", f"seed {min(gone)} has vanished from the run")
    if _lost_seeds(old, new):
        return verdict("broken", new.trouble())
    if metric.unit in ("token/s", "s") and differences:
        return verdict("not comparable", f"measured otherwise ({'; '.join(differences)})")
    pairs = seed_differences(new, old, metric)
    if not pairs:
        return verdict("not comparable", "the runs share no seed on the same data")
    log = metric.effect == "ratio"
    if any(map(math.isinf, pairs)) and all(map(math.isfinite, (was, now))):
        return _from_nothing(verdict, metric, pairs, f"{was:.3g} became {now:.3g}")
    limit = math.log1p(tolerance) if log else tolerance
    if all(d == 0 for d in pairs):
        return _bounded(verdict, metric, lambda *_: Estimate(0.0, 0.0, 0.0, len(pairs)), limit, log)
    return _bounded(verdict, metric, partial(paired, pairs), limit, log)


def _from_nothing(verdict: Make, metric: Metric, pairs: Sequence[float], text: str) -> Verdict:
    """A value of exactly 0 has no ratio to another: what is worse with every changed seed fails."""
    better = [metric.improves(d) for d in pairs if d]
    if all(better):
        return verdict("improved")
    if not any(better):
        return verdict("fail", text)
    return verdict("inconclusive", f"{text}, with some seeds better and with others worse")


def _judge_times(
    verdict: Make,
    metric: Metric,
    old: Point,
    new: Point,
    tolerance: float,
    differences: list[str],
    noises: Sequence[Estimate],
) -> Verdict:
    """Times over their yardsticks, against a tolerance that what equal code showed in either run can raise."""
    if differences:
        return verdict("not comparable", f"measured otherwise ({'; '.join(differences)})")
    before, after = _normalised(old, metric.name), _normalised(new, metric.name)
    if not before or not after:
        return verdict("not comparable", "no yardstick was measured in the same blocks")
    limit = math.log1p(tolerance)
    if any(n.low > limit or n.high < -limit for n in noises):
        return verdict("inconclusive", "unstable: a second copy of the reference differed from the first")
    beyond = max([limit, *(abs(e) for n in noises if n.known for e in (2 * n.value, n.low, n.high))])
    return _bounded(verdict, metric, partial(difference_of_launches, before, after), limit, True, beyond)


def _bounded(
    verdict: Make, metric: Metric, interval: Interval, limit: float, log: bool, beyond: float | None = None
) -> Verdict:
    """Fail when the interval lies beyond the limit on the bad side, pass when it ends before it.

    `beyond` is the limit for failing where noise has raised it: noise hides, it shows nothing.
    """
    most = limit if beyond is None else beyond
    change = interval()
    shown = change.map(math.exp) if log and change.known else change
    sign = -1 if metric.better == "higher" else 1
    low, high = sorted((sign * change.low, sign * change.high))
    if not change.known:
        return verdict("inconclusive", "too few repeats for an interval", shown)
    text = f"{shown.value:.4g} [{shown.low:.4g}, {shown.high:.4g}]"
    p = p_beyond(interval, most) if sign * change.value > 0 else 1.0  # of getting worse alone
    text = f"{text} times the baseline" if log else f"{text} {metric.unit} above the baseline"
    if low > most:
        return verdict("fail", text, shown, p)
    if high > limit:
        return verdict("inconclusive", f"{text}: the interval holds the limit", shown, p)
    return verdict("improved" if high < -limit and limit > 0 else "pass", "", shown, p)


def _normalised(point: Point, metric: str) -> list[list[float]]:
    """Log of the time over the yardstick's of the same block, a list a launch."""
    yardstick = YARDSTICKS.get(str(dict(point.cell.axes).get("level")), "copy_time")
    launches = []
    for record in point.ok():
        mine, yard = record.get(metric), record.get(yardstick)
        if mine and yard and len(mine.values) == len(yard.values):
            launches.append([math.log(a / b) for a, b in zip(mine.values, yard.values, strict=True)])
    return launches


def _lost_seeds(old: Point, new: Point) -> bool:
    """Whether a seed that the baseline finished did not finish now."""
    finished = {r.trial.seed for r in old.ok()}
    return any(r.trial.seed in finished and r.status is not Status.OK for r in new.records)


def describe(point: Point) -> str:
    cell = point.cell
    axes = ",".join(f"{k}={v}" for k, v in cell.axes)
    return f"{point.benchmark}/{cell.activation}/{cell.backend}/{cell.dtype}/{axes}"
