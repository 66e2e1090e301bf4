"""Pictures of a run as values: loss curves, time ratios, and what a loss costs. Nothing is drawn here."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator

from polybench.compare.comparison import Comparison, across
from polybench.compare.derive import tokens_a_step
from polybench.compare.grid import Group, Point, grouped, machines, of_seeds, points
from polybench.document import Figure, Series
from polybench.metric import Scale, scale_for
from polybench.report.wording import held_constant, key_of, mean_over, sentences, title_of, troubles
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_SEED, CONFIDENCE_TIME, Estimate, paired

FEW_SEEDS = 6  # below, a band shows the seeds' range: a t interval of so few is wider than all of them
SKIPPED = 0.1  # share of a curve's start, whose fall would flatten all that follows
TIME, LOSS, THROUGHPUT, PEAK = "total_time", "val_loss", "tokens_per_s", "step_peak_bytes"
_SMOOTH_FROM, _WIDEST = 50, 51  # values from which a curve is smoothed, and the widest window
_COSTS = ((THROUGHPUT, "time", "Training time a token"), (PEAK, "memory", "Peak memory of a training step"))
_TITLES = {"train_loss": "Training loss", "val_curve": "Held-out loss"}


def figures(run: Run) -> tuple[Figure, ...]:
    """Every picture that this run has data for; `run` went through `derive.with_derived`."""
    return (*_fronts(run), *_curves(run), *_bars(run))


def _fronts(run: Run) -> Iterator[Figure]:
    """Held-out loss against the time and against the memory of training, a point an activation."""
    every = grouped(points(run))
    for metric, what, axis in _COSTS:
        both = {g: [p for p in ps if of_seeds(p, LOSS) and of_seeds(p, metric)] for g, ps in every.items()}
        alike = [
            g for g, ps in both.items() if metric != THROUGHPUT or len(machines(r for p in ps for r in p.records)) < 2
        ]
        groups = {g: both[g] for g in alike if both[g]}
        for group, found in groups.items():
            costs = [_cost(p, metric) for p in found]
            scale = scale_for("s" if metric == THROUGHPUT else "B", (c.value for c in costs))
            series = tuple(_spot(p, c, scale) for p, c in zip(found, costs, strict=True))
            seeds = mean_over([len(of_seeds(p, LOSS)) for p in found])
            crosses = (
                f" with {CONFIDENCE_SEED:.0%} t intervals; the tables compare seed by seed, which tells more apart"
            )
            yield Figure(
                key=key_of("front", what, group, groups),
                kind="pareto",
                title=title_of(f"Held-out loss against {what}", group, groups),
                caption=sentences(
                    f"{axis} and held-out loss after training; further left and lower is better",
                    seeds + (crosses if any(s.low for s in series) else ""),
                    "Memory is exact" if metric == PEAK else "",
                    "The thin line joins the activations that no other beats in both",
                    held_constant(run, group, found),
                    troubles(every[group]),
                ),
                x_label=f"{axis}, {scale.unit}",
                y_label=f"Held-out loss, {run.metrics[group[1].kind][LOSS].unit}",
                series=series,
            )


def _cost(point: Point, metric: str) -> Estimate:
    """Seconds a token over the seeds, the inverse of what was measured; or the exact bytes of a step."""
    values = of_seeds(point, metric)
    if metric == THROUGHPUT:
        return paired([1 / v for v in values], CONFIDENCE_SEED)
    return Estimate(max(values), max(values), max(values), 1)


def _spot(point: Point, cost: Estimate, scale: Scale) -> Series:
    loss = paired(of_seeds(point, LOSS), CONFIDENCE_SEED)
    shown = cost.map(lambda value: value / scale.factor)
    return Series(point.cell.activation, (shown.value,), (loss.value,), *_ends(loss), *_ends(shown))


def _ends(estimate: Estimate) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low and high, empty where there is no interval or nothing varies."""
    known = estimate.known and estimate.low < estimate.high
    return ((estimate.low,), (estimate.high,)) if known else ((), ())


def _curves(run: Run) -> Iterator[Figure]:
    """Losses as training goes on: mean and band over the seeds that ended well."""
    every = grouped(points(run))
    curves = [m for ms in run.metrics.values() for m in ms.values() if m.curve and m.along == "step"]
    metrics = {m.name: m for m in curves if m.effect == "difference"}
    for name, metric in metrics.items():
        groups = {g: kept for g, ps in every.items() if (kept := [p for p in ps if _curves_of(p, name)])}
        for group, found in groups.items():
            counts = [len(_curves_of(p, name)) for p in found]
            few = min(counts) < FEW_SEEDS
            band = "the range of the seeds" if few else f"the {CONFIDENCE_SEED:.0%} t interval of the mean"
            longest = max(len(curve) for p in found for curve in _curves_of(p, name))
            window = min(_WIDEST, 2 * (longest // _SMOOTH_FROM) + 1)
            scale = tokens_a_step(group[1])
            lines = (_line(p, name, window, few, scale or 1) for p in found)
            yield Figure(
                key=key_of("curve", name, group, groups),
                kind="curves",
                title=title_of(_TITLES.get(name, name), group, groups),
                caption=sentences(
                    metric.definition,
                    mean_over(counts) + (f"; the band is {band}" if max(counts) > 1 else ""),
                    f"Every seed's curve is a centred running mean over {window} steps" if window > 1 else "",
                    f"The first {SKIPPED:.0%} of the training is left out of the picture",
                    held_constant(run, group, found),
                    troubles(every[group]),
                ),
                x_label="Tokens trained on" if scale else "Optimizer steps",
                y_label=f"{_TITLES.get(name, name)}, {metric.unit}",
                series=tuple(line for line in lines if line.x),
            )


def _line(point: Point, metric: str, window: int, few: bool, scale: int) -> Series:
    """Mean and band at the steps that every seed has; points that are not finite are dropped."""
    curves = [_smooth(c, window) for c in _curves_of(point, metric)]
    steps = sorted(set.intersection(*(set(c) for c in curves)))
    rows = []
    for step in steps:
        values = [c[step] for c in curves]
        if step >= SKIPPED * steps[-1] and all(map(math.isfinite, values)):
            middle = paired(values, CONFIDENCE_SEED)
            low, high = (min(values), max(values)) if few else (middle.low, middle.high)
            rows.append((step * scale, middle.value, low, high))
    x, y, low_side, high_side = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Series(point.cell.activation, x, y, *((low_side, high_side) if len(curves) > 1 else ()))


def _smooth(curve: dict[int, float], window: int) -> dict[int, float]:
    """Centred running mean, wherever the whole window has values."""
    steps, values, reach = list(curve), list(curve.values()), window // 2
    middles = range(reach, len(values) - reach)
    return {steps[i]: statistics.fmean(values[i - reach : i + reach + 1]) for i in middles}


def _curves_of(point: Point, metric: str) -> list[dict[int, float]]:
    """Value by step, a dictionary a seed that ended well."""
    curves = [m for r in point.ok() if (m := r.get(metric)) and m.values]
    return [dict(zip(m.steps or range(1, len(m.values) + 1), m.values, strict=True)) for m in curves]


def _bars(run: Run) -> Iterator[Figure]:
    """Forward and backward time beside the reference's, a picture a speed group."""
    reference = run.suite["reference"]
    every: dict[Group, list[Comparison]] = defaultdict(list)
    for comparison in across(run, only=TIME):
        every[comparison.point.benchmark, comparison.cell.place].append(comparison)
    groups = {g: cs for g, cs in every.items() if any(c.change for c in cs)}
    for group, found in groups.items():
        base = next(c.reference for c in found if c.change) or 0.0
        scale = scale_for("s", [base])
        series = tuple(_bar(c, i) for i, c in enumerate(c for c in found if c.change or c.cell.activation == reference))
        members = [c.point for c in found]
        doubt = "A second copy of the reference differed from the first, so small differences say nothing here"
        whiskers = f"Whiskers are {CONFIDENCE_TIME:.0%} intervals of block-wise ratios"
        yield Figure(
            key=key_of("bars", TIME, group, groups),
            kind="bars",
            title=title_of("Time of forward and backward", group, groups),
            caption=sentences(
                f"Time of forward and backward pass over that of {reference}, whose median is "
                f"{scale.show(base, 3)} {scale.unit}; shorter is faster",
                whiskers if any(s.low for s in series) else "There are too few blocks for an interval",
                doubt if any(c.outcome == "unstable" for c in found) else "",
                held_constant(run, group, members),
                troubles(members),
            ),
            x_label="",
            y_label=f"Time / time of {reference}",
            series=series,
            baseline=1.0,
        )


def _bar(comparison: Comparison, place: int) -> Series:
    change = comparison.change or Estimate(1.0, 1.0, 1.0, 0)
    return Series(comparison.cell.activation, (float(place),), (change.value,), *_ends(change))
