"""One gated cell in two runs: whether it got worse by more than a rule allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from polybench.compare.decision import Decision, Ruling
from polybench.compare.grid import Grid, seed_differences
from polybench.compare.points import Point, stopped, typical
from polybench.compare.region import Side, side
from polybench.compare.sessions import timed, yardstick
from polybench.compare.stored_times import History, decided
from polybench.compare.way import METRICS as TO_REFERENCE
from polybench.launches import beyond
from polybench.measure.training_metrics import SPEED_UP
from polybench.metric import Metric, in_full
from polybench.plan.governing import allowed, name_of
from polybench.plan.suite import Rule
from polybench.record import Status
from polybench.stats import Estimate, p_beyond, paired

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

    @classmethod
    def of(
        cls, made: Decision, rule: Rule, label: str, metric: Metric, baseline: float | None, value: float | None
    ) -> Verdict:
        return cls(name_of(rule), label, metric, made.outcome, baseline, value, made.change, made.reason, made.p)


@dataclass(frozen=True)
class Pair:
    """One metric of one cell, in the baseline and in the run, of which one may lack it.

    `label` is what the cell is called beside all others of both runs. `grids` are those of both; `bumped` are the
    versions of the baseline's cell and the run's where these are all that sets them apart. `history` is there for
    what is timed, of which the baseline may have no point but sessions; `redefined` are the versions of the
    metric where both sides define it otherwise.
    """

    metric: Metric
    label: str
    old: Point | None
    new: Point | None
    grids: tuple[Grid, Grid]
    bumped: tuple[int, int] | None = None
    history: History | None = None
    redefined: tuple[int, int] | None = None

    @cached_property
    def was(self) -> float | None:
        if self.history is not None:
            return self.history.typical
        return typical(self.old, self.metric) if self.old else None

    @cached_property
    def now(self) -> float | None:
        return typical(self.new, self.metric) if self.new else None

    @property
    def unmeasured(self) -> bool:
        """Whether neither side has any value of it though all ended well there: such a cell has no such metric."""
        if self.was is not None:
            return False
        sides = [point for point in (self.old, self.new) if point]
        kept = any(r.get(self.metric.name) for point in sides for r in point.records)
        return not kept and not any(point.trouble() for point in sides)

    @property
    def tested(self) -> bool:
        """Whether chance may fail it: a count that moved has moved."""
        return self.metric.varies_with != "nothing"


def judge(pair: Pair, rule: Rule, tests: int = 1) -> Verdict:
    """The verdict on one metric of one cell: of times corrected for the `tests` of the gate, of losses not yet."""
    made = _decided(pair, allowed(rule, pair.was), tests)
    return Verdict.of(made, rule, pair.label, pair.metric, pair.was, pair.now)


def _decided(pair: Pair, tolerance: float, tests: int) -> Decision:
    old, new, was, now = pair.old, pair.new, pair.was, pair.now
    known = old is not None or (pair.history is not None and pair.history.typical is not None)
    if not known:
        return Decision("new", "the baseline has no such cell")
    if was is None:
        return Decision("not comparable", f"the baseline could not measure it: {_lacking(old, pair.metric)}")
    if new is None and pair.bumped:
        before, after = pair.bumped
        return Decision("not comparable", f"version {before} of the kind became {after}")
    if new is None:
        return Decision("missing", "this cell has vanished from the run")
    if pair.redefined:
        before, after = pair.redefined
        return Decision("not comparable", f"version {before} of {pair.metric.name} became {after}")
    if now is None:
        broken = any(r.status.broken for r in new.records)
        return Decision("broken" if broken else "missing", new.trouble() or f"it has no {pair.metric.name}")
    if wrong := _no_number(new, pair.metric):
        return Decision("broken", f"one of its values is {wrong:g}")
    if pair.history is not None:
        return _time(pair, pair.history, tolerance, tests)
    assert old is not None
    if wrong := _no_number(old, pair.metric):
        return Decision("not comparable", f"a value of the baseline is {wrong:g}")
    if pair.metric.varies_with == "nothing":
        return _exact(pair.metric, was, now, tolerance)
    return _by_seed(pair, old, new, tolerance)


def _exact(metric: Metric, was: float, now: float, tolerance: float) -> Decision:
    """A count may grow by the tolerance, or shrink where more is better; without a good direction neither."""
    if metric.effect == "difference":
        change = shown = now - was
    else:
        change = (now - was) / abs(was) if was else math.copysign(math.inf, now - was) if now != was else 0.0
        shown = 1 + change
    told = Estimate(shown, shown, shown, 1)
    worse = {"lower": change, "higher": -change, "neither": abs(change)}[metric.better]
    if worse > tolerance:
        return Decision("fail", f"{in_full(was)} became {in_full(now)}", told)
    return Decision("improved" if worse < 0 else "pass", "", told)


def _time(pair: Pair, history: History, tolerance: float, tests: int) -> Decision:
    """A time of this run beside the baseline's sessions, where this run has one that can be compared at all."""
    metric, new, grid = pair.metric, pair.new, pair.grids[1]
    assert new is not None
    if new.diverged:
        return Decision("inconclusive", f"{new.trouble()}, so the rest is not judged")
    if stopped(new, metric.name, yardstick(new)):
        return Decision("not comparable", "a time of 0")
    if endless := sum(map(math.isinf, new.values(metric.name))):
        every = len(new.values(metric.name))
        told = f"{history.typical:.3g} became {math.inf} with {endless} of {every} seeds"
        return Decision("fail" if endless == every else "inconclusive", told)
    here = timed(new, metric)
    if here is None:
        return Decision("not comparable", "no yardstick was measured in the same blocks")
    if len(here.logs) < 2:
        what = "launch" if metric.varies_with == "sample" else "seed"
        return Decision("inconclusive", f"one {what} does not say how {_plural(what)} differ")
    noise = grid.noise(new, metric.name) if history.judged else None
    if noise and beyond(noise, math.log1p(tolerance)):
        return Decision("inconclusive", "unstable: a second copy of the reference differed from the first")
    return decided(history, metric, here, tolerance, tests, noise.value if noise else 0.0)


def _lacking(old: Point | None, metric: Metric) -> str:
    """Why a baseline that has a cell has no value of it."""
    if old is None or old.trouble():
        return old.trouble() if old else "no value"
    return "a time of 0" if stopped(old, metric.name, yardstick(old)) else "no value"


def _plural(word: str) -> str:
    return f"{word}es" if word.endswith("ch") else f"{word}s"


def _by_seed(pair: Pair, old: Point, new: Point, tolerance: float) -> Decision:
    """Losses of the seeds that both finished."""
    metric, log = pair.metric, pair.metric.effect == "ratio"
    if gone := {r.trial.seed for r in old.ok()} - {r.trial.seed for r in new.records}:
        return Decision("missing", f"seed {min(gone)} has vanished from the run")
    if _lost_seeds(old, new):
        return Decision("broken", new.trouble())
    if new.diverged:  # and so they did in the baseline
        return Decision("inconclusive", f"{new.trouble()}, so the rest is not judged")
    changes = list(seed_differences(new, old, metric).values())
    if not changes:
        return Decision("not comparable", "the runs share no seed on the same data")
    if any(map(math.isinf, changes)):
        return _from_nothing(metric, changes, f"{pair.was:.3g} became {pair.now:.3g}")
    limit = math.log1p(tolerance) if log else tolerance
    if all(d == 0 for d in changes):
        return _bounded(metric, lambda *_: Estimate(0.0, 0.0, 0.0, len(changes)), limit, log)
    return _bounded(metric, partial(paired, changes), limit, log)


def _from_nothing(metric: Metric, changes: Sequence[float], text: str) -> Decision:
    """A value of exactly 0 has no ratio to another, and one without end no difference: what is worse with every
    changed seed fails."""
    better = [metric.improves(d) for d in changes if d]
    if all(better):
        return Decision("improved")
    if not any(better):
        return Decision("fail", text)
    return Decision("inconclusive", f"{text}, with some seeds better and with others worse")


def _bounded(metric: Metric, interval: Interval, limit: float, log: bool) -> Decision:
    """Fail when the interval lies beyond the limit on the bad side, pass when it ends before it; where neither side is
    good, both are bad."""
    change = interval()
    shown = change.map(math.exp) if log and change.known else change
    sign = -1 if metric.better == "higher" else 1
    low, high = sorted((sign * change.low, sign * change.high))
    if not change.known:
        return Decision("inconclusive", "too few repeats for an interval", shown)
    text = f"{shown.value:.4g} [{shown.low:.4g}, {shown.high:.4g}]"
    p = p_beyond(interval, limit) if sign * change.value > 0 else 1.0  # of getting worse alone
    text = f"{text} times the baseline" if log else f"{text} {metric.unit} above the baseline"
    where = side(low, high, limit, limit)
    if metric.better == "neither":
        p, where = p_beyond(interval, limit), _worst(where, side(-high, -low, limit, limit))
    if where == "beyond":
        return Decision("fail", text, shown, p)
    if where == "across":
        return Decision("inconclusive", f"{text}: the interval holds the limit", shown, p)
    improved = high < -limit and limit > 0 and metric.better != "neither"
    return Decision("improved" if improved else "pass", "", shown, p)


def _worst(one: Side, other: Side) -> Side:
    return max(one, other, key=("within", "across", "beyond").index)


def _no_number(point: Point, metric: Metric) -> float | None:
    """A value that is none although its trial ended well, as a file that was edited by hand may say.

    What never gets to the reference has one without end.
    """
    none = math.isnan if metric.name in (*TO_REFERENCE, SPEED_UP.name) else lambda value: not math.isfinite(value)
    measured = (m for r in point.ok() if (m := r.get(metric.name)))
    return next((v for m in measured for v in m.values if none(v)), None)


def _lost_seeds(old: Point, new: Point) -> bool:
    """Whether a seed that the baseline finished did not finish now."""
    finished = {r.trial.seed for r in old.ok()}
    return any(r.trial.seed in finished and r.status is not Status.OK for r in new.records)
