"""Quantities that follow from curves: loss at equal time, and the way to the reference's final loss."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from polybench.metric import Metric
from polybench.points import machines
from polybench.record import Measurement, Record, Status
from polybench.store import Run

EQUAL_TIME = Metric(
    "equal_time_loss", "nat/token", "lower", "seed",
    "Held-out loss at the time the fastest of the activations had finished, on the line between two looks.",
)  # fmt: skip
TOKENS_TO = Metric(
    "tokens_to_reference", "token", "lower", "seed",
    "Tokens until the held-out loss reaches the reference's final one of the same seed; inf if it never does.",
)  # fmt: skip
STEPS_TO = Metric(
    "steps_to_reference", "1", "lower", "seed",
    "Optimizer steps until the held-out loss reaches the reference's final one; inf if it never does.",
)  # fmt: skip
TIME_TO = Metric(
    "time_to_reference", "s", "lower", "seed",
    "Training time until the held-out loss reaches the reference's final one of the same seed; inf if never.",
)  # fmt: skip


DERIVED = (EQUAL_TIME, STEPS_TO, TOKENS_TO, TIME_TO)


def with_derived(run: Run) -> Run:
    """The run with derived measurements beside the measured ones, and their definitions."""
    groups: dict[object, list[Record]] = defaultdict(list)
    for record in run.records:
        trial = record.trial
        if record.status is Status.OK and record.get("val_curve") and record.get("train_time"):
            groups[trial.benchmark, trial.cell.beside(""), trial.seed].append(record)
    if not groups:
        return run
    added: dict[str, list[Measurement]] = {}
    reference = run.suite["reference"]
    for records in groups.values():
        fastest = min(_values(r, "train_time")[-1] for r in records)
        together = len(machines(records)) <= 1  # seconds of two machines are not the same seconds
        goal = next((_values(r, "val_curve")[-1] for r in records if r.trial.cell.activation == reference), None)
        for record in records:
            losses, times = _values(record, "val_curve"), _values(record, "train_time")
            found = [Measurement(EQUAL_TIME.name, (between(fastest, times, losses),))] if together else []
            axes = dict(record.trial.cell.axes)
            curve = record.get("val_curve")
            if goal is not None and curve and curve.steps and {"batch", "seq_len"} <= set(axes):
                tokens = [s * int(axes["batch"]) * int(axes["seq_len"]) for s in curve.steps]
                found.append(Measurement(STEPS_TO.name, (first_at(goal, losses, curve.steps),)))
                found.append(Measurement(TOKENS_TO.name, (first_at(goal, losses, tokens),)))
                if together:
                    found.append(Measurement(TIME_TO.name, (first_at(goal, losses, times),)))
            added[record.trial.id] = found
    extended = tuple(replace(r, measurements=(*r.measurements, *added.get(r.trial.id, ()))) for r in run.records)
    kinds = {r.trial.cell.kind for r in run.records if r.trial.id in added}
    metrics = {
        kind: [*known, *(m.to_json() for m in DERIVED if kind in kinds)]
        for kind, known in run.header["metrics"].items()
    }
    return replace(run, records=extended, header={**run.header, "metrics": metrics})


def between(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
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
            return xs[i - 1] + share * (xs[i] - xs[i - 1])
    return math.inf


def _values(record: Record, name: str) -> tuple[float, ...]:
    measurement = record.get(name)
    assert measurement is not None
    return measurement.values
