"""Pictures of a run as values: loss curves, time ratios, and what a loss costs. Nothing is drawn here."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Group, Point, by_place, machines, of_seeds
from polybench.compare.step_time import Timed, tokens_a_step
from polybench.document import Figure, Series
from polybench.measure.kinds.pretrain import THROUGHPUT
from polybench.measure.speed_metrics import STEP, TOTAL
from polybench.metric import Metric, Price, Scale, scale_for
from polybench.report import bands
from polybench.report.section import Section
from polybench.report.wording import held_constant, key_of, mean_over, sentences, title_of, troubles
from polybench.stats import CONFIDENCE_SEED, CONFIDENCE_TIME, Estimate, paired

SKIPPED = 0.1  # share of a curve's start, whose fall would flatten all that follows
_SMOOTH_FROM, _WIDEST = 50, 51  # values from which a curve is smoothed, and the widest window

Groups = Mapping[Group, Sequence[Point]]


def section(comparisons: Comparisons) -> Section:
    """Every picture of losses and times that this run has data for."""
    every = by_place(comparisons.points())
    return Section(figures=(*_fronts(comparisons, every), *_curves(comparisons, every), *_bars(comparisons)))


def _fronts(comparisons: Comparisons, every: Groups) -> Iterator[Figure]:
    """The loss against each cost that was measured beside it, a point an activation."""
    losses = {g: loss for g in every if (loss := comparisons.loss(g[1].kind))}
    for metric, cost in [(m, m.cost) for m in comparisons.metrics().values() if m.cost]:
        both = {
            g: [p for p in every[g] if of_seeds(p, loss.name) and of_seeds(p, metric.name) and not p.diverged]
            for g, loss in losses.items()
        }
        alike = [
            g for g, ps in both.items() if not metric.of_time or len(machines(r for p in ps for r in p.records)) < 2
        ]
        groups = {g: both[g] for g in alike if both[g]}
        for group in groups:
            yield _front(comparisons, losses[group], metric, cost, group, groups, troubles(every[group]))


def _front(
    comparisons: Comparisons, loss: Metric, metric: Metric, cost: Price, group: Group, groups: Groups, lost: str
) -> Figure:
    points = groups[group]
    timed = comparisons.steps_of(points) if metric.name == THROUGHPUT.name else None
    costs = [_cost_of_steps(comparisons, p, timed) if timed else _cost(p, metric) for p in points]
    scale = scale_for("s" if metric.better == "higher" else metric.unit, (c.value for c in costs))
    values = [of_seeds(p, loss.name) for p in points]
    series = tuple(_spot(p, v, c, scale) for p, v, c in zip(points, values, costs, strict=True))
    seeds = mean_over([len(v) for v in values])
    crosses = f" with {CONFIDENCE_SEED:.0%} t intervals; the tables compare seed by seed, which tells more apart"
    return Figure(
        key=key_of("front", cost.what, group, groups),
        kind="pareto",
        title=title_of(f"{loss.heading} against {cost.what}", group, groups),
        caption=sentences(
            f"{cost.axis} and {loss.words} after training; further left and lower is better",
            seeds + (crosses if any(s.low for s in series) else ""),
            _by_steps(comparisons, timed) if timed else "",
            f"{cost.what.capitalize()} is exact" if metric.varies_with == "nothing" else "",
            "The thin line joins the activations that no other beats in both",
            held_constant(comparisons, group, points),
            lost,
        ),
        x_label=f"{cost.axis}, {scale.unit}",
        y_label=f"{loss.heading}, {loss.unit}",
        series=series,
    )


def _cost(point: Point, metric: Metric) -> Estimate:
    """Seconds a token over the seeds, the inverse of a measured rate; or the exact bytes of a step."""
    values = of_seeds(point, metric.name)
    if metric.varies_with == "nothing":
        return Estimate(max(values), max(values), max(values), 1)
    return paired([1 / v for v in values] if metric.better == "higher" else values, CONFIDENCE_SEED)


def _by_steps(comparisons: Comparisons, timed: Timed) -> str:
    whose = f"whose whiskers are of the ratio to {comparisons.reference}'s"
    return f"Time is the {STEP.name} of {timed.group[0]}, {whose}"


def _cost_of_steps(comparisons: Comparisons, point: Point, timed: Timed) -> Estimate:
    """Seconds a token in steps timed in turns, with the interval of their ratio to the reference's."""
    own = 1 / timed.tokens_per_s[point.cell.activation]
    place = timed.group[0], timed.group[1].of(point.cell.activation)
    ratio = comparisons.to_reference(STEP.name)[comparisons.grid.cells[place]].change
    return ratio.map(lambda r: own * r / ratio.value) if ratio else Estimate(own, own, own, 1)


def _spot(point: Point, losses: Sequence[float], cost: Estimate, scale: Scale) -> Series:
    loss = paired(losses, CONFIDENCE_SEED)
    shown = cost.map(lambda value: value / scale.factor)
    return Series(point.cell.activation, (shown.value,), (loss.value,), *bands.ends(loss), *bands.ends(shown))


def _curves(comparisons: Comparisons, every: Groups) -> Iterator[Figure]:
    """Losses as training goes on: mean and band over the seeds that ended well."""
    steps = [m for m in comparisons.metrics().values() if m.curve and m.along == "step"]
    for metric in [m for m in steps if m.effect == "difference" and m.better != "neither"]:
        groups = {g: kept for g, ps in every.items() if (kept := [p for p in ps if _curves_of(p, metric.name)])}
        for group, points in groups.items():
            counts = [len(_curves_of(p, metric.name)) for p in points]
            longest = max(len(curve) for p in points for curve in _curves_of(p, metric.name))
            window = min(_WIDEST, 2 * (longest // _SMOOTH_FROM) + 1)
            scale = tokens_a_step(group[1])
            lines = (_line(p, metric.name, window, bands.few(counts), scale or 1) for p in points)
            yield Figure(
                key=key_of("curve", metric.name, group, groups),
                kind="curves",
                title=title_of(metric.heading, group, groups),
                caption=sentences(
                    metric.definition,
                    bands.told(counts, max(counts) > 1),
                    f"Every seed's curve is a centred running mean over {window} steps" if window > 1 else "",
                    f"The first {SKIPPED:.0%} of the training is left out of the picture",
                    held_constant(comparisons, group, points),
                    troubles(every[group]),
                ),
                x_label="Tokens trained on" if scale else "Optimizer steps",
                y_label=f"{metric.heading}, {metric.unit}",
                series=tuple(line for line in lines if line.x),
            )


def _line(point: Point, metric: str, window: int, few: bool, scale: int) -> Series:
    """Mean and band at the steps that every seed has; points that are not finite are dropped."""
    curves = [_smooth(c, window) for c in _curves_of(point, metric)]
    steps = sorted(set.intersection(*(set(c) for c in curves)))
    values = {step * scale: [c[step] for c in curves] for step in steps if step >= SKIPPED * steps[-1]}
    finite = {x: of_seeds for x, of_seeds in values.items() if all(map(math.isfinite, of_seeds))}
    return bands.line(point.cell.activation, finite, few, len(curves) > 1)


def _smooth(curve: dict[int, float], window: int) -> dict[int, float]:
    """Centred running mean, wherever the whole window has values."""
    steps, values, reach = list(curve), list(curve.values()), window // 2
    middles = range(reach, len(values) - reach)
    return {steps[i]: statistics.fmean(values[i - reach : i + reach + 1]) for i in middles}


def _curves_of(point: Point, metric: str) -> list[dict[int, float]]:
    """Value by step, a dictionary a seed that ended well."""
    curves = [m for r in point.ok() if (m := r.get(metric)) and m.values]
    return [dict(zip(m.steps or range(1, len(m.values) + 1), m.values, strict=True)) for m in curves]


def _bars(comparisons: Comparisons) -> Iterator[Figure]:
    """Forward and backward time beside the reference's, a picture a speed group."""
    reference = comparisons.reference
    every = by_place(comparisons.to_reference(TOTAL.name).values())
    groups = {g: cs for g, cs in every.items() if any(c.change for c in cs)}
    for group, cells in groups.items():
        base = next(c.reference for c in cells if c.change) or 0.0
        scale = scale_for("s", [base])
        series = tuple(_bar(c, i) for i, c in enumerate(c for c in cells if c.change or c.cell.activation == reference))
        members = [c.point for c in cells]
        doubt = "A second copy of the reference differed from the first, so small differences say nothing here"
        whiskers = f"Whiskers are {CONFIDENCE_TIME:.0%} intervals of block-wise ratios"
        yield Figure(
            key=key_of("bars", TOTAL.name, group, groups),
            kind="bars",
            title=title_of("Time of forward and backward", group, groups),
            caption=sentences(
                f"Time of forward and backward pass over that of {reference}, whose median is "
                f"{scale.show(base, 3)} {scale.unit}; shorter is faster",
                whiskers if any(s.low for s in series) else "There are too few blocks for an interval",
                doubt if any(c.outcome == "unstable" for c in cells) else "",
                held_constant(comparisons, group, members),
                troubles(members),
            ),
            x_label="",
            y_label=f"Time / time of {reference}",
            series=series,
            baseline=1.0,
        )


def _bar(comparison: Comparison, place: int) -> Series:
    change = comparison.change or Estimate(1.0, 1.0, 1.0, 0)
    return Series(comparison.cell.activation, (float(place),), (change.value,), *bands.ends(change))
