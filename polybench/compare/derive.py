"""Quantities that follow from curves: loss at equal time and FLOPs, and the way to the reference's final loss.

They are read on the line between finished trainings where there are branches, else along one schedule.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Self

from polybench.compare.points import Group, machines
from polybench.compare.step_time import STEPPED, Clocks, StepTimes, Timed, tokens_a_step, with_throughput
from polybench.measure.axis_types import corpora_of
from polybench.measure.kinds.pretrain import FINISHED_CURVE, FINISHED_TIME, OTHER_LOSSES, TRAIN_TIME, VAL_CURVE
from polybench.measure.training_metrics import (
    DERIVED,
    EQUAL_FLOPS,
    EQUAL_TIME,
    FIRST_COSINE,
    FLOPS,
    LATER_COSINE,
    LAYER_COSINE,
    STEPS_TO,
    TIME_TO,
    TOKENS_TO,
)
from polybench.metric import Metric
from polybench.record import Measurement, Record, Status
from polybench.run.store import Run
from polybench.trial import Cell


def with_derived(run: Run) -> Run:
    """The run with derived measurements beside the measured ones, and their definitions."""
    run = with_throughput(run)
    groups: dict[tuple[Group, int], list[Record]] = defaultdict(list)
    for record in run.records:
        trial = record.trial
        if record.status is Status.OK and record.get(VAL_CURVE.name) and record.get(TRAIN_TIME.name):
            groups[(trial.benchmark, trial.cell.place), trial.seed].append(record)
    steps, clocks = StepTimes(run), Clocks()
    added: dict[str, list[Measurement]] = {}
    for (group, _), records in groups.items():
        timed = steps.beside(group, records) if all(map(tokens_at_looks, records)) else None
        clocks.note(group, timed, "" if timed else steps.unlike(group, records))
        added |= _side_by_side(records, run.suite.reference, timed)
    kinds = {r.trial.cell.kind for r in run.records if r.trial.id in added}
    run = extended(run, added, {kind: clocks.told(kind, DERIVED) for kind in kinds})
    return _with_cosines_apart(_with_named_losses(run))


def _side_by_side(records: Sequence[Record], reference: str, timed: Timed | None) -> dict[str, list[Measurement]]:
    """What follows by trial from one seed of all activations of a place, by the steps that were timed if any were."""
    # Seconds of two machines are not the same seconds.
    together = timed is not None or len(machines(records)) <= 1
    kind = Finished if all(map(has_finished, records)) else OneSchedule
    lines = {r.trial.id: kind.of(r) for r in records}
    if timed:
        lines = {r.trial.id: replace(line, seconds=timed.seconds(r, line.tokens))
                 for r, line in zip(records, lines.values(), strict=True)}  # fmt: skip
    goal = next((lines[r.trial.id].losses[-1] for r in records if r.trial.cell.activation == reference), None)
    spent = {name: line.flops for name, line in lines.items() if line.flops}
    seconds = {name: line.seconds for name, line in lines.items()}
    equal = ((EQUAL_TIME, seconds if together else {}),
             (EQUAL_FLOPS, spent if len(spent) == len(records) else {}))  # fmt: skip
    added: dict[str, list[Measurement]] = {}
    for name, line in lines.items():
        values = {
            metric: line.loss_at(min(xs[-1] for xs in costs.values()), costs[name]) for metric, costs in equal if costs
        }
        if goal is not None and line.steps and line.tokens:
            values[STEPS_TO] = line.way_to(goal, line.steps)
            values[TOKENS_TO] = line.way_to(goal, line.tokens)
            if together:
                values[TIME_TO] = line.way_to(goal, line.seconds)
        added[name] = [Measurement(metric.name, (value,)) for metric, value in values.items() if value is not None]
        if timed:
            added[name].append(Measurement(STEPPED.name, line.seconds))
    return added


@dataclass(frozen=True)
class OneSchedule:
    """What a training had spent and where its loss stood at each look: a line along its one schedule."""

    losses: tuple[float, ...]
    seconds: tuple[float, ...]
    steps: tuple[float, ...]
    tokens: tuple[float, ...]
    flops: tuple[float, ...]

    @classmethod
    def of(cls, record: Record) -> Self:
        return cls._of(record, VAL_CURVE.name, TRAIN_TIME.name, tokens_at_looks(record))

    @classmethod
    def _of(cls, record: Record, losses: str, seconds: str, tokens: tuple[float, ...]) -> Self:
        curve, cost = record.get(losses), record.get(FLOPS.name)
        flops = tuple(t * cost.values[0] for t in tokens) if cost and cost.values[0] > 0 else ()
        steps = tuple(map(float, curve.steps or ())) if curve else ()
        return cls(_values(record, losses), _values(record, seconds), steps, tokens, flops)

    def loss_at(self, x: float, xs: Sequence[float]) -> float | None:
        """The loss where so much of `xs` was spent; None where no line leads there."""
        return interpolated(x, xs, self.losses)

    def way_to(self, goal: float, xs: Sequence[float]) -> float:
        """How much of `xs` was spent when the line first came down to `goal`; infinite when it never does."""
        return first_at(goal, self.losses, xs)


class Finished(OneSchedule):
    """Finished trainings of one plateau: a line between their ends, straight over the logarithm of what they spent.

    Over that logarithm a loss is straighter than over steps.
    """

    @classmethod
    def of(cls, record: Record) -> Self:
        curve = record.get(FINISHED_CURVE.name)
        size = tokens_a_step(record.trial.cell)
        tokens = tuple(float(s * size) for s in (curve.steps or ())) if curve and size else ()
        return cls._of(record, FINISHED_CURVE.name, FINISHED_TIME.name, tokens)

    def loss_at(self, x: float, xs: Sequence[float]) -> float | None:
        if x < xs[0]:
            return None
        return interpolated(math.log(x), [math.log(each) for each in xs], self.losses)

    def way_to(self, goal: float, xs: Sequence[float]) -> float:
        return math.exp(first_at(goal, self.losses, [math.log(each) for each in xs]))


def has_finished(record: Record) -> bool:
    """Whether it holds trainings of several lengths that were each finished, the shorter ones first."""
    curve, times = record.get(FINISHED_CURVE.name), record.get(FINISHED_TIME.name)
    if not (curve and curve.steps and times and len(times.values) == len(curve.steps) > 1):
        return False
    return all(a < b for a, b in pairwise((0, *curve.steps))) and all(seconds > 0 for seconds in times.values)


def reading(metric: Metric, records: Iterable[Record]) -> str:
    """Words for a loss that was read off trainings that had not ended there, and so hangs on their schedule."""
    trained = [r for r in records if r.get(VAL_CURVE.name)]
    derived = metric.name in {m.name for m in DERIVED}
    return "along one schedule" if derived and not all(map(has_finished, trained)) else ""


def extended(run: Run, added: Mapping[str, Sequence[Measurement]], metrics: Mapping[str, Sequence[Metric]]) -> Run:
    """The run with further measurements by trial, and their metrics by kind."""
    if not metrics:
        return run
    records = tuple(replace(r, measurements=(*r.measurements, *added.get(r.trial.id, ()))) for r in run.records)
    kinds = dict.fromkeys([*run.derived, *metrics])
    derived = {kind: (*run.derived.get(kind, ()), *metrics.get(kind, ())) for kind in kinds}
    return replace(run, records=records, derived=derived)


def tokens_at_looks(record: Record) -> tuple[float, ...]:
    """Tokens trained on up to each look at the held-out loss: as recorded, else steps of equal size."""
    curve, seen = record.get(VAL_CURVE.name), record.get("tokens_seen")
    if seen and curve and len(seen.values) == len(curve.values):
        return seen.values
    size = tokens_a_step(record.trial.cell)
    return tuple(float(s * size) for s in curve.steps) if curve and curve.steps and size else ()


def seconds_at_looks(record: Record) -> tuple[float, ...]:
    """Training time so far: of steps timed in turns where the run has them, else the training's own."""
    known = record.get(STEPPED.name) or record.get(TRAIN_TIME.name)
    return known.values if known else ()


def interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """y at x on the broken line through (xs, ys), held constant outside."""
    if x <= xs[0]:
        return ys[0]
    for i in range(1, len(xs)):
        if x <= xs[i]:
            share = (x - xs[i - 1]) / (xs[i] - xs[i - 1]) if xs[i] > xs[i - 1] else 1.0
            return ys[i - 1] + share * (ys[i] - ys[i - 1])
    return ys[-1]


def first_at(goal: float, losses: Sequence[float], xs: Sequence[float]) -> float:
    """x at which the broken line first comes down to `goal`; infinite when it never does."""
    if losses[0] <= goal:
        return xs[0]
    for i in range(1, len(losses)):
        if losses[i] <= goal:
            share = (losses[i - 1] - goal) / (losses[i - 1] - losses[i])
            return min(xs[i], xs[i - 1] + share * (xs[i] - xs[i - 1]))  # which rounding could pass
    return math.inf


def _values(record: Record, name: str) -> tuple[float, ...]:
    measurement = record.get(name)
    assert measurement is not None
    return measurement.values


def _with_named_losses(run: Run) -> Run:
    """The run with a metric `loss on NAME` for each further corpus that its models were evaluated on."""
    added = {r.trial.id: _named(r) for r in run.records if r.get(OTHER_LOSSES.name)}
    names: dict[str, dict[str, Metric]] = defaultdict(dict)
    for record in run.records:
        if added.get(record.trial.id):
            names[record.trial.cell.kind] |= {metric.name: metric for metric in on_texts(record.trial.cell)}
    return extended(run, added, {kind: tuple(metrics.values()) for kind, metrics in names.items()})


def _named(record: Record) -> list[Measurement]:
    losses, metrics = record.get(OTHER_LOSSES.name), on_texts(record.trial.cell)
    if losses is None or len(metrics) != len(losses.values):
        return []
    return [Measurement(metric.name, (loss,)) for metric, loss in zip(metrics, losses.values, strict=True)]


def _with_cosines_apart(run: Run) -> Run:
    """The run with the likeness of states across the first layer apart from that across the others."""
    layers = {r.trial.id: m.values for r in run.records if (m := r.get(LAYER_COSINE.name)) and len(m.values) > 1}
    added = {
        name: [Measurement(FIRST_COSINE.name, (first,)), Measurement(LATER_COSINE.name, (fmean(later),))]
        for name, (first, *later) in layers.items()
    }
    kinds = {r.trial.cell.kind for r in run.records if r.trial.id in added}
    return extended(run, added, dict.fromkeys(kinds, (FIRST_COSINE, LATER_COSINE)))


def on_texts(cell: Cell) -> list[Metric]:
    """The metric of each further corpus that the models of a cell are evaluated on."""
    names = [f"loss on {corpus}" for corpus in corpora_of(str(cell.get("eval_corpora", "")))]
    return [
        Metric(name, "nat/token", "lower", "seed", f"Held-out {name} after the last step.", title=name, by_seed=True)
        for name in names
    ]
