"""Quantities that follow from curves: loss at equal time and FLOPs, and the way to the reference's final loss."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from polybench.compare.grid import machines
from polybench.measure.training_metrics import DERIVED, EQUAL_FLOPS, EQUAL_TIME, STEPS_TO, TIME_TO, TOKENS_TO
from polybench.metric import Metric
from polybench.record import Measurement, Record, Status
from polybench.run.store import Run
from polybench.trial import Cell

NAMED = "loss on "  # how the name of such a metric begins
_OTHERS = "other_losses"  # of a record, in the order of its axis `eval_corpora`


def with_derived(run: Run) -> Run:
    """The run with derived measurements beside the measured ones, and their definitions."""
    groups: dict[object, list[Record]] = defaultdict(list)
    for record in run.records:
        trial = record.trial
        if record.status is Status.OK and record.get("val_curve") and record.get("train_time"):
            groups[trial.benchmark, trial.cell.place, trial.seed].append(record)
    if not groups:
        return with_named_losses(run)
    added: dict[str, list[Measurement]] = {}
    reference = run.suite["reference"]
    for records in groups.values():
        together = len(machines(records)) <= 1  # seconds of two machines are not the same seconds
        goal = next((_values(r, "val_curve")[-1] for r in records if r.trial.cell.activation == reference), None)
        spent = {r.trial.id: flops for r in records if (flops := flops_at_looks(r))}
        seconds = {r.trial.id: _values(r, "train_time") for r in records}
        equal = ((EQUAL_TIME, seconds if together else {}),
                 (EQUAL_FLOPS, spent if len(spent) == len(records) else {}))  # fmt: skip
        for record in records:
            losses, times = _values(record, "val_curve"), _values(record, "train_time")
            found = [
                Measurement(
                    metric.name, (interpolated(min(xs[-1] for xs in costs.values()), costs[record.trial.id], losses),)
                )
                for metric, costs in equal
                if costs
            ]
            steps, tokens = record.get("val_curve"), tokens_at_looks(record)
            if goal is not None and steps and steps.steps and tokens:
                found.append(Measurement(STEPS_TO.name, (first_at(goal, losses, steps.steps),)))
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
    return with_named_losses(replace(run, records=extended, header={**run.header, "metrics": metrics}))


def tokens_a_step(cell: Cell) -> int:
    """Tokens of one optimizer step, 0 for a kind that has no batches of sequences."""
    axes = dict(cell.axes)
    if not {"batch", "seq_len"} <= set(axes):
        return 0
    return int(axes["batch"]) * int(axes["seq_len"])


def tokens_at_looks(record: Record) -> tuple[float, ...]:
    """Tokens trained on up to each look at the held-out loss: as recorded, else steps of equal size."""
    curve, seen = record.get("val_curve"), record.get("tokens_seen")
    if seen and curve and len(seen.values) == len(curve.values):
        return seen.values
    size = tokens_a_step(record.trial.cell)
    return tuple(float(s * size) for s in curve.steps) if curve and curve.steps and size else ()


def flops_at_looks(record: Record) -> tuple[float, ...]:
    """Training FLOPs up to each look; empty where the record does not say what a token costs."""
    cost = record.get("flops_per_token")
    return tuple(t * cost.values[0] for t in tokens_at_looks(record)) if cost else ()


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
            return xs[i - 1] + share * (xs[i] - xs[i - 1])
    return math.inf


def _values(record: Record, name: str) -> tuple[float, ...]:
    measurement = record.get(name)
    assert measurement is not None
    return measurement.values


def with_named_losses(run: Run) -> Run:
    """The run with a metric `loss on NAME` for each further corpus that its models were evaluated on."""
    found = {r.trial.id: _named(r) for r in run.records if r.get(_OTHERS)}
    if not found:
        return run
    metrics = {kind: list(known) for kind, known in run.header["metrics"].items()}
    for kind in metrics:
        names = dict.fromkeys(
            m.metric for r in run.records if r.trial.cell.kind == kind for m in found.get(r.trial.id, ())
        )
        metrics[kind] += [_metric(name).to_json() for name in names]
    records = tuple(replace(r, measurements=(*r.measurements, *found.get(r.trial.id, ()))) for r in run.records)
    return replace(run, records=records, header={**run.header, "metrics": metrics})


def _named(record: Record) -> list[Measurement]:
    losses = record.get(_OTHERS)
    corpora = str(dict(record.trial.cell.axes).get("eval_corpora", "")).split("+")
    if losses is None or len(corpora) != len(losses.values):
        return []
    return [Measurement(f"{NAMED}{name}", (loss,)) for name, loss in zip(corpora, losses.values, strict=True)]


def _metric(name: str) -> Metric:
    return Metric(name, "nat/token", "lower", "seed", f"Held-out {name} after the last step.")
