"""What base and head of a comparison have in common, what each has alone, and which times a rule gates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from polybench.compare.decision import Ruling
from polybench.kind import registered
from polybench.metric import Metric
from polybench.plan.governing import governing
from polybench.plan.labels import Labels
from polybench.plan.suite import Rule
from polybench.run.side import BASE, CONTROL, HEAD
from polybench.run.side_plan import SidePlan
from polybench.trial import Cell, Job, Trial

Key = tuple[str, Cell]  # a benchmark and a cell
Places = tuple[Mapping[str, Job], ...]


@dataclass(frozen=True, eq=False)
class Asked:
    """A time that a rule gates, in a cell that both sides have."""

    rule: Rule
    metric: Metric
    benchmark: str
    cell: Cell


@dataclass(frozen=True)
class Odd:
    """A gated trial that only one side has, or that the two do not mean alike."""

    trial: Trial
    side: str
    outcome: Ruling
    reason: str


class Alignment:
    """What two plans have in common, and what they have not."""

    def __init__(self, base: SidePlan, head: SidePlan):
        self.base, self.head = base, head
        mine, theirs = _cells(head.timed), _cells(base.timed)
        rest, others = _cells(head.others), _cells(base.others)
        self.timed: dict[Key, Trial] = {key: t for key, t in mine.items() if key in theirs}
        self.shared: set[Key] = {*self.timed, *(rest.keys() & others.keys())}
        self.aside: dict[Key, Trial] = {**_cells(base.left_out), **_cells(head.left_out)}
        self.labels = Labels.of((*base.trials, *head.trials, *self.aside.values()))

    @cached_property
    def places(self) -> Places:
        """Jobs to be held in step: of base, head and control, with the cells that they share."""
        of = {key: job for job in self.base.timed for key in _cells([job])}
        found = []
        for job in self.head.timed:
            shared = [t for t in job.trials if (t.benchmark, t.cell) in self.timed]
            if shared:
                keys = {(t.benchmark, t.cell) for t in shared}
                base = _only(of[shared[0].benchmark, shared[0].cell], keys)
                found.append({BASE: base, HEAD: _only(job, keys), CONTROL: base})
        return tuple(found)

    def only(self, keys: set[Key]) -> Places:
        """The places with these cells alone."""
        few = ({side: _only(job, keys) for side, job in place.items()} for place in self.places)
        return tuple(place for place in few if place[HEAD].trials)

    @property
    def others(self) -> dict[str, list[Job]]:
        """Jobs of base and head that are not timed in launches."""
        both = {BASE: self.base.others, HEAD: self.head.others}
        return {side: [j for job in jobs if (j := _only(job, self.shared)).trials] for side, jobs in both.items()}

    @cached_property
    def asked(self) -> tuple[Asked, ...]:
        """Every time that a rule of the head gates."""
        gated = ((key, *pair) for key in self.timed for pair in gated_in(self.head, key))
        return tuple(Asked(rule, metric, *key) for key, rule, metric in gated if metric.varies_with == "sample")

    def beside(self) -> tuple[list[Rule], set[Key]]:
        """The rules of the head that gate something else than a time taken in turns, and the cells where they do."""
        pairs = [
            (rule, key)
            for key in self.shared
            for rule, metric in gated_in(self.head, key)
            if not (key in self.timed and metric.varies_with == "sample")
        ]
        chosen = {id(rule) for rule, _ in pairs}
        return [rule for rule in self.head.rules if id(rule) in chosen], {key for _, key in pairs}

    def odd(self) -> list[tuple[Odd, Rule, Metric]]:
        """What is not compared, with each rule that would have held it."""
        found, twins = [], {*self.aside}
        for side, plan in ((HEAD, self.head), (BASE, self.base)):
            for key, trial in _cells(plan.left_out).items():
                if side == HEAD or key not in _cells(self.head.left_out):
                    odd = Odd(trial, side, "not comparable", plan.why_left_out(trial))
                    found += [(odd, rule, metric) for rule, metric in gated_in(plan, key)]
        for side, plan, other in ((BASE, self.base, self.head), (HEAD, self.head, self.base)):
            theirs = {(t.benchmark, t.cell) for t in other.trials}
            for key, trial in _cells((*plan.timed, *plan.others)).items():
                if key in self.shared or key in twins:
                    continue
                odd, twin = _odd(trial, side, theirs, plan, other)
                twins |= {twin} if twin else set()
                found += [(odd, rule, metric) for rule, metric in gated_in(plan, key)]
        return found


def gated_in(plan: SidePlan, key: Key) -> list[tuple[Rule, Metric]]:
    """What a side gates in a cell; a metric is as the side defines it, and as we do where it follows from others."""
    kind = key[1].kind
    known = registered(kind)
    here = known.named if known else {}
    stored = {m["name"]: Metric.from_json(m, here.get(m["name"])) for m in plan.metrics.get(kind, ())}
    metrics = {**here, **stored}
    names = dict.fromkeys(rule.metric for rule in plan.rules if rule.metric in metrics)
    held = ((governing(plan.rules, name, *key), metrics[name]) for name in names)
    return [(rule, metric) for rule, metric in held if rule]


def _odd(trial: Trial, side: str, theirs: set[Key], plan: SidePlan, other: SidePlan) -> tuple[Odd, Key | None]:
    """Why a trial of one side has no twin on the other, and what it nearly is there."""
    cell = trial.cell
    for benchmark, twin in theirs:
        if benchmark != trial.benchmark or replace(twin, axes=(), version=0) != replace(cell, axes=(), version=0):
            continue
        mine, its = dict(cell.axes), dict(twin.axes)
        if twin.axes == cell.axes:
            old, new = (cell, twin) if side == BASE else (twin, cell)
            why = f"version {old.version} of {cell.kind} became {new.version}"
            if old.version == new.version:
                why = "only one side times it in launches"
            return Odd(trial, side, "not comparable", why), (benchmark, twin)
        if mine.keys() != its.keys() and all(its[k] == v for k, v in mine.items() if k in its):
            why = f"only one side has the axes {', '.join(sorted(mine.keys() ^ its.keys()))}"
            return Odd(trial, side, "not comparable", why), (benchmark, twin)
    lacking = next((why for text, why in other.lacks.items() if _bare(text) == _bare(cell.activation)), "")
    if side == HEAD:
        if lacking and (unread := [why for why in other.broken if why not in plan.broken]):
            return Odd(trial, side, "not comparable", f"part of the base cannot be read: {'; '.join(unread)}"), None
        return Odd(trial, side, "new", "the base has no such cell"), None
    return Odd(trial, side, "missing", lacking or "the head has no such cell"), None


def _bare(activation: str) -> str:
    """Its name without options."""
    return activation.partition("(")[0].strip()


def _cells(jobs: Iterable[Job]) -> dict[Key, Trial]:
    """The first trial of every cell."""
    found: dict[Key, Trial] = {}
    for job in jobs:
        for trial in job.trials:
            found.setdefault((trial.benchmark, trial.cell), trial)
    return found


def _only(job: Job, keys: set[Key]) -> Job:
    return replace(job, trials=tuple(t for t in job.trials if (t.benchmark, t.cell) in keys))
