"""What differs between two baselines, or between one and a run: every gated value, with no rule applied."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, median

from polybench.compare.baseline import Baseline
from polybench.compare.comparison import exp
from polybench.compare.drift import drifts
from polybench.compare.grid import seed_differences
from polybench.compare.points import Point, typical
from polybench.compare.sessions import Session, is_timed
from polybench.metric import Metric, in_full, scale_for
from polybench.plan.labels import Labels
from polybench.stats import CONFIDENCE_TIME, Estimate, paired, t_quantile
from polybench.trial import Cell, Trial


@dataclass(frozen=True)
class Moved:
    """One value on both sides, None where one lacks it; `change` is a ratio or, of losses, a difference.

    `told` is whether it differs: counts at all, others where their own interval, uncorrected, leaves out no change.
    """

    label: str
    metric: Metric
    before: float | None
    after: float | None
    change: Estimate | None
    told: bool


def moved(before: Baseline, after: Baseline) -> list[Moved]:
    """Of everything that a rule of either side names: what holds on any machine, then times machine by machine."""
    names = {rule.metric for side in (before, after) for rule in side.run.suite.gate}
    return [*_kept(before, after, names), *_timed(before, after, names)]


def sentence(one: Moved) -> str:
    if one.before is None or one.after is None:
        return f"{one.label} {one.metric.name}: only in {'the second' if one.before is None else 'the first'}"
    if one.metric.varies_with == "nothing":
        unit = f" {one.metric.unit}".removesuffix(" 1")
        return f"{one.label} {one.metric.name}: {in_full(one.before)} -> {in_full(one.after)}{unit}"
    scale = scale_for(one.metric.unit, [one.before, one.after])
    text = f"{one.label} {one.metric.name}: {scale.show(one.before)} -> {scale.show(one.after)} {scale.unit}".rstrip()
    if one.change is None:
        return text
    how = "times the first" if one.metric.effect == "ratio" else f"{one.metric.unit} above the first"
    return f"{text}: {one.change.value:.4g} [{one.change.low:.4g}, {one.change.high:.4g}] {how}"


def _kept(before: Baseline, after: Baseline, names: set[str]) -> Iterator[Moved]:
    sides = before.compared, after.compared
    places = list(dict.fromkeys([*sides[0].grid.cells, *sides[1].grid.cells]))
    labels = Labels.of(Trial(benchmark, cell, 0) for benchmark, cell in places)
    for benchmark, cell in places:
        old, new = (side.grid.cells.get((benchmark, cell)) for side in sides)
        known = {name: m for side in sides for name, m in side.run.metrics.get(cell.kind, {}).items()}
        for metric in (m for name, m in known.items() if name in names and not is_timed(m)):
            was, now = (typical(point, metric) if point else None for point in (old, new))
            if was is not None or now is not None:
                yield _moved(labels.of_cell(Trial(benchmark, cell, 0)), metric, (old, was), (new, now))


def _moved(
    label: str, metric: Metric, before: tuple[Point | None, float | None], after: tuple[Point | None, float | None]
) -> Moved:
    (old, was), (new, now) = before, after
    if was is None or now is None or metric.varies_with == "nothing":
        return Moved(label, metric, was, now, None, was != now)
    assert old is not None and new is not None
    changes = list(seed_differences(new, old, metric).values())
    found = paired(changes) if changes and all(map(math.isfinite, changes)) else None
    if found is None or not found.known:
        return Moved(label, metric, was, now, None, False)
    told = found.low > 0 or found.high < 0
    return Moved(label, metric, was, now, found.map(exp) if metric.effect == "ratio" else found, told)


def _timed(before: Baseline, after: Baseline, names: set[str]) -> Iterator[Moved]:
    """Machines that both sides know; times of two machines are not the same times."""
    metrics = {**after.run.metrics, **before.run.metrics}
    for machine in (m for m in before.machines if m in after.machines):
        sides = before.machines[machine], after.machines[machine]
        found = [drifts(sessions) for sessions in sides]
        every = dict.fromkeys([*found[0], *found[1]])
        keys = [key for key in every if key[2] in names and key[2] in metrics.get(key[1].kind, {})]
        labels = Labels.of(Trial(benchmark, cell, 0) for benchmark, cell, _ in keys)
        for benchmark, cell, name in keys:
            was, now = (_typical(sessions, benchmark, cell, name) for sessions in sides)
            old, new = (side.get((benchmark, cell, name)) for side in found)
            label, metric = labels.of_cell(Trial(benchmark, cell, 0)), metrics[cell.kind][name]
            if not (old and new):
                yield Moved(label, metric, was, now, None, True)
                continue
            degrees = max(old.degrees, new.degrees)
            if degrees < 1:
                yield Moved(label, metric, was, now, None, False)
                continue
            error = max(old.sd, new.sd) * math.sqrt(1 / len(old.levels) + 1 / len(new.levels))
            value, half = fmean(new.levels) - fmean(old.levels), t_quantile(degrees, CONFIDENCE_TIME) * error
            change = Estimate(value, value - half, value + half, min(len(old.levels), len(new.levels)))
            yield Moved(label, metric, was, now, change.map(exp), abs(value) > half)


def _typical(sessions: tuple[Session, ...], benchmark: str, cell: Cell, name: str) -> float | None:
    values = [s.times[benchmark, cell, name].typical for s in sessions if (benchmark, cell, name) in s.times]
    return median(values) if values else None
