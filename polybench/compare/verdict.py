"""One gated cell in two runs: whether it got worse by more than a rule allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from polybench.compare.grid import Grid, seed_differences
from polybench.compare.points import Point, stopped, typical
from polybench.compare.region import side
from polybench.launches import margin_beside
from polybench.measure.speed_metrics import COPY, PRODUCT
from polybench.medians import Launches
from polybench.metric import Metric
from polybench.plan.suite import Rule
from polybench.record import Status
from polybench.stats import Estimate, difference_of_launches, p_beyond, paired

Ruling = Literal["pass", "improved", "fail", "missing", "broken", "inconclusive", "not comparable", "new"]
# What times are divided by, so that two runs can be compared: work with the same bottleneck.
YARDSTICKS = {"activation": COPY.name, "block": PRODUCT.name, "decoder": PRODUCT.name}
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


@dataclass(frozen=True)
class Pair:
    """One metric of one cell, in the baseline and in the run, of which one may lack it.

    `label` is what the cell is called beside all others of both runs. `grids` are those of both; `differences` say
    what makes times of the two incomparable; `bumped` is the version of the run's cell where that is all that sets it
    apart from the baseline's.
    """

    metric: Metric
    label: str
    old: Point | None
    new: Point | None
    grids: tuple[Grid, Grid]
    differences: Sequence[str] = ()
    bumped: int | None = None

    @property
    def was(self) -> float | None:
        return typical(self.old, self.metric) if self.old else None

    @property
    def now(self) -> float | None:
        return typical(self.new, self.metric) if self.new else None


@dataclass(frozen=True)
class _Decision:
    """What a verdict adds to the pair that it is about."""

    outcome: Ruling
    reason: str = ""
    change: Estimate | None = None
    p: float | None = None


def judge(pair: Pair, rule: Rule) -> Verdict:
    """The verdict on one metric of one cell, before correction for all that the gate tests."""
    made = _decided(pair, max(rule.tolerance, rule.floor / pair.was) if rule.floor and pair.was else rule.tolerance)
    return Verdict(
        name_of(rule), pair.label, pair.metric, made.outcome, pair.was, pair.now, made.change, made.reason, made.p
    )


def name_of(rule: Rule) -> str:
    where = ", ".join(f"{k}={v}" for k, v in rule.where.items())
    return f"{rule.metric} where {where}" if where else rule.metric


def _decided(pair: Pair, tolerance: float) -> _Decision:
    old, new, was, now = pair.old, pair.new, pair.was, pair.now
    if old is None:
        return _Decision("new", "the baseline has no such cell")
    if was is None:
        return _Decision("not comparable", f"the baseline could not measure it: {old.trouble() or 'no value'}")
    if new is None and pair.bumped:
        return _Decision("not comparable", f"version {old.cell.version} of {old.cell.kind} became {pair.bumped}")
    if new is None:
        return _Decision("missing", "this cell has vanished from the run")
    if now is None:
        broken = any(r.status.broken for r in new.records)
        return _Decision("broken" if broken else "missing", new.trouble() or f"it has no {pair.metric.name}")
    if pair.metric.varies_with == "nothing":
        return _exact(pair.metric, was, now, tolerance)
    if pair.metric.varies_with == "sample":
        return _times(pair, old, new, tolerance)
    return _by_seed(pair, old, new, tolerance)


def _exact(metric: Metric, was: float, now: float, tolerance: float) -> _Decision:
    """A count may grow by the tolerance, or shrink where more is better; without a good direction neither."""
    change = (now - was) / was if was else math.copysign(math.inf, now - was) if now != was else 0.0
    ratio = Estimate(1 + change, 1 + change, 1 + change, 1)
    worse = {"lower": change, "higher": -change, "neither": abs(change)}[metric.better]
    if worse > tolerance:
        return _Decision("fail", f"{was:,.0f} became {now:,.0f}", ratio)
    return _Decision("improved" if worse < 0 else "pass", "", ratio)


def _times(pair: Pair, old: Point, new: Point, tolerance: float) -> _Decision:
    """Times over their yardsticks, against a tolerance that what equal code showed in either run can raise."""
    metric = pair.metric
    if pair.differences:
        return _Decision("not comparable", f"measured otherwise ({'; '.join(pair.differences)})")
    if any(stopped(p, metric.name, _yardstick(p)) for p in (old, new)):
        return _Decision("not comparable", "a time of 0")
    before, after = _normalised(old, metric.name), _normalised(new, metric.name)
    if not before or not after:
        return _Decision("not comparable", "no yardstick was measured in the same blocks")
    if min(len(before), len(after)) < 2:
        return _Decision("inconclusive", "one launch does not say how launches differ")
    limit = math.log1p(tolerance)
    both = [grid.noise(p, metric.name) for grid, p in zip(pair.grids, (old, new), strict=True)]
    noises = [noise for noise in both if noise]
    if any(n.low > limit or n.high < -limit for n in noises):
        return _Decision("inconclusive", "unstable: a second copy of the reference differed from the first")
    beyond = max([limit, *(margin_beside(limit, n.value) for n in noises)])
    return _bounded(metric, partial(difference_of_launches, Launches(before), Launches(after)), limit, True, beyond)


def _by_seed(pair: Pair, old: Point, new: Point, tolerance: float) -> _Decision:
    """Losses and rates of the seeds that both finished."""
    metric, log = pair.metric, pair.metric.effect == "ratio"
    if gone := {r.trial.seed for r in old.ok()} - {r.trial.seed for r in new.records}:
        return _Decision("missing", f"seed {min(gone)} has vanished from the run")
    if _lost_seeds(old, new):
        return _Decision("broken", new.trouble())
    if metric.of_time and pair.differences:
        return _Decision("not comparable", f"measured otherwise ({'; '.join(pair.differences)})")
    if new.diverged:  # and so they did in the baseline
        return _Decision("inconclusive", f"{new.trouble()}, so the rest is not judged")
    changes = list(seed_differences(new, old, metric).values())
    if not changes:
        return _Decision("not comparable", "the runs share no seed on the same data")
    if any(map(math.isinf, changes)) and all(v is not None and math.isfinite(v) for v in (pair.was, pair.now)):
        return _from_nothing(metric, changes, f"{pair.was:.3g} became {pair.now:.3g}")
    limit = math.log1p(tolerance) if log else tolerance
    if all(d == 0 for d in changes):
        return _bounded(metric, lambda *_: Estimate(0.0, 0.0, 0.0, len(changes)), limit, log)
    return _bounded(metric, partial(paired, changes), limit, log)


def _from_nothing(metric: Metric, changes: Sequence[float], text: str) -> _Decision:
    """A value of exactly 0 has no ratio to another: what is worse with every changed seed fails."""
    better = [metric.improves(d) for d in changes if d]
    if all(better):
        return _Decision("improved")
    if not any(better):
        return _Decision("fail", text)
    return _Decision("inconclusive", f"{text}, with some seeds better and with others worse")


def _bounded(metric: Metric, interval: Interval, limit: float, log: bool, beyond: float | None = None) -> _Decision:
    """Fail when the interval lies beyond the limit on the bad side, pass when it ends before it.

    `beyond` is the limit for failing where noise has raised it: noise hides, it shows nothing.
    """
    most = limit if beyond is None else beyond
    change = interval()
    shown = change.map(math.exp) if log and change.known else change
    sign = -1 if metric.better == "higher" else 1
    low, high = sorted((sign * change.low, sign * change.high))
    if not change.known:
        return _Decision("inconclusive", "too few repeats for an interval", shown)
    text = f"{shown.value:.4g} [{shown.low:.4g}, {shown.high:.4g}]"
    p = p_beyond(interval, most) if sign * change.value > 0 else 1.0  # of getting worse alone
    text = f"{text} times the baseline" if log else f"{text} {metric.unit} above the baseline"
    where = side(low, high, limit, most)
    if where == "beyond":
        return _Decision("fail", text, shown, p)
    if where == "across":
        return _Decision("inconclusive", f"{text}: the interval holds the limit", shown, p)
    return _Decision("improved" if high < -limit and limit > 0 else "pass", "", shown, p)


def _normalised(point: Point, metric: str) -> list[list[float]]:
    """Log of the time over the yardstick's of the same block, a list a launch."""
    launches = []
    for record in point.ok():
        mine, yard = record.get(metric), record.get(_yardstick(point))
        if mine and yard and len(mine.values) == len(yard.values):
            launches.append([math.log(a / b) for a, b in zip(mine.values, yard.values, strict=True)])
    return launches


def _yardstick(point: Point) -> str:
    return YARDSTICKS.get(str(dict(point.cell.axes).get("level")), COPY.name)


def _lost_seeds(old: Point, new: Point) -> bool:
    """Whether a seed that the baseline finished did not finish now."""
    finished = {r.trial.seed for r in old.ok()}
    return any(r.trial.seed in finished and r.status is not Status.OK for r in new.records)
