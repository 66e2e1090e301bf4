"""Pictures of a run as values: loss curves, time ratios, and what a loss costs. Nothing is drawn here."""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from polybench.cell import Cell
from polybench.compare import Comparison, across
from polybench.document import Figure, Series
from polybench.metric import Scale, scale_for
from polybench.points import Point, points
from polybench.stats import CONFIDENCE_SEED, CONFIDENCE_TIME, Estimate, paired
from polybench.store import Run

FEW_SEEDS = 6  # below, a band shows the seeds' range: a t interval of so few is wider than all of them
SKIPPED = 0.1  # share of a curve's start, whose fall would flatten all that follows
TIME, LOSS, THROUGHPUT, PEAK, PARAMETERS = "total_time", "val_loss", "tokens_per_s", "step_peak_bytes", "parameters"
_SMOOTH_FROM, _WIDEST = 50, 51  # values from which a curve is smoothed, and the widest window
_COSTS = ((THROUGHPUT, "time", "Training time a token"), (PEAK, "memory", "Peak memory of a training step"))
_TITLES = {"train_loss": "Training loss", "val_curve": "Held-out loss"}

Group = tuple[str, Cell]  # a benchmark, and a cell without its activation


def figures(run: Run) -> tuple[Figure, ...]:
    """Every picture that this run has data for; `run` went through `derive.with_derived`."""
    return (*_fronts(run), *_curves(run), *_bars(run))


def _fronts(run: Run) -> Iterator[Figure]:
    """Held-out loss against the time and against the memory of training, a point an activation."""
    every = _groups(points(run))
    for metric, what, axis in _COSTS:
        both = {g: [p for p in ps if _of_seeds(p, LOSS) and _of_seeds(p, metric)] for g, ps in every.items()}
        groups = {g: ps for g, ps in both.items() if ps}
        for group, found in groups.items():
            costs = [_cost(p, metric) for p in found]
            scale = scale_for("s" if metric == THROUGHPUT else "B", (c.value for c in costs))
            series = tuple(_spot(p, c, scale) for p, c in zip(found, costs, strict=True))
            seeds = _mean_over([len(_of_seeds(p, LOSS)) for p in found])
            crosses = (
                f" with {CONFIDENCE_SEED:.0%} t intervals; the tables compare seed by seed, which tells more apart"
            )
            yield Figure(
                key=_key("front", what, group, groups),
                kind="pareto",
                title=_title(f"Held-out loss against {what}", group, groups),
                caption=_sentences(
                    f"{axis} and held-out loss after training; further left and lower is better",
                    seeds + (crosses if any(s.low for s in series) else ""),
                    "Memory is exact" if metric == PEAK else "",
                    "The thin line joins the activations that no other beats in both",
                    _held(run, group, found),
                    _troubles(every[group]),
                ),
                x_label=f"{axis}, {scale.unit}",
                y_label=f"Held-out loss, {run.metrics[group[1].kind][LOSS].unit}",
                series=series,
            )


def _cost(point: Point, metric: str) -> Estimate:
    """Seconds a token over the seeds, the inverse of what was measured; or the exact bytes of a step."""
    values = _of_seeds(point, metric)
    if metric == THROUGHPUT:
        return paired([1 / v for v in values], CONFIDENCE_SEED)
    return Estimate(max(values), max(values), max(values), 1)


def _spot(point: Point, cost: Estimate, scale: Scale) -> Series:
    loss = paired(_of_seeds(point, LOSS), CONFIDENCE_SEED)
    shown = cost.map(lambda value: value / scale.factor)
    return Series(point.cell.activation, (shown.value,), (loss.value,), *_ends(loss), *_ends(shown))


def _ends(estimate: Estimate) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low and high, empty where there is no interval or nothing varies."""
    known = estimate.known and estimate.low < estimate.high
    return ((estimate.low,), (estimate.high,)) if known else ((), ())


def _curves(run: Run) -> Iterator[Figure]:
    """Losses as training goes on: mean and band over the seeds that ended well."""
    every = _groups(points(run))
    metrics = {m.name: m for ms in run.metrics.values() for m in ms.values() if m.curve and m.effect == "difference"}
    for name, metric in metrics.items():
        groups = {g: kept for g, ps in every.items() if (kept := [p for p in ps if _curves_of(p, name)])}
        for group, found in groups.items():
            counts = [len(_curves_of(p, name)) for p in found]
            few = min(counts) < FEW_SEEDS
            band = "the range of the seeds" if few else f"the {CONFIDENCE_SEED:.0%} t interval of the mean"
            longest = max(len(curve) for p in found for curve in _curves_of(p, name))
            window = min(_WIDEST, 2 * (longest // _SMOOTH_FROM) + 1)
            scale = _tokens_a_step(group[1])
            lines = (_line(p, name, window, few, scale or 1) for p in found)
            yield Figure(
                key=_key("curve", name, group, groups),
                kind="curves",
                title=_title(_TITLES.get(name, name), group, groups),
                caption=_sentences(
                    metric.definition,
                    _mean_over(counts) + (f"; the band is {band}" if max(counts) > 1 else ""),
                    f"Every seed's curve is a centred running mean over {window} steps" if window > 1 else "",
                    f"The first {SKIPPED:.0%} of the training is left out of the picture",
                    _held(run, group, found),
                    _troubles(every[group]),
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
        every[comparison.point.benchmark, comparison.cell.beside("")].append(comparison)
    groups = {g: cs for g, cs in every.items() if any(c.change for c in cs)}
    for group, found in groups.items():
        base = next(c.reference for c in found if c.change) or 0.0
        scale = scale_for("s", [base])
        series = tuple(_bar(c, i) for i, c in enumerate(c for c in found if c.change or c.cell.activation == reference))
        members = [c.point for c in found]
        doubt = "A second copy of the reference differed from the first, so small differences say nothing here"
        whiskers = f"Whiskers are {CONFIDENCE_TIME:.0%} intervals of block-wise ratios"
        yield Figure(
            key=_key("bars", TIME, group, groups),
            kind="bars",
            title=_title("Time of forward and backward", group, groups),
            caption=_sentences(
                f"Time of forward and backward pass over that of {reference}, whose median is "
                f"{scale.show(base, 3)} {scale.unit}; shorter is faster",
                whiskers if any(s.low for s in series) else "There are too few blocks for an interval",
                doubt if any(c.outcome == "unstable" for c in found) else "",
                _held(run, group, members),
                _troubles(members),
            ),
            x_label="",
            y_label=f"Time / time of {reference}",
            series=series,
            baseline=1.0,
        )


def _bar(comparison: Comparison, place: int) -> Series:
    change = comparison.change or Estimate(1.0, 1.0, 1.0, 0)
    return Series(comparison.cell.activation, (float(place),), (change.value,), *_ends(change))


def _of_seeds(point: Point, metric: str) -> list[float]:
    """The finite values of the seeds that ended well; a rate of nothing cannot be inverted and is dropped."""
    return [v for r in point.ok() if (m := r.get(metric)) for v in m.values if math.isfinite(v) and v > 0]


def _tokens_a_step(cell: Cell) -> int:
    """Tokens of one optimizer step, 0 for a kind that has no batches of sequences."""
    axes = dict(cell.axes)
    return int(axes["batch"]) * int(axes["seq_len"]) if {"batch", "seq_len"} <= set(axes) else 0


def _groups(found: Iterable[Point]) -> dict[Group, list[Point]]:
    groups: dict[Group, list[Point]] = defaultdict(list)
    for point in found:
        groups[point.benchmark, point.cell.beside("")].append(point)
    return groups


def _key(picture: str, what: str, group: Group, groups: Iterable[Group]) -> str:
    text = f"{picture} {what} {group[0]} {_apart(group, groups)}"
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def _title(text: str, group: Group, groups: Iterable[Group]) -> str:
    name = group[0] if any(benchmark != group[0] for benchmark, _ in groups) else ""
    apart = ", ".join(filter(None, [name, _apart(group, groups)]))
    return f"{text} ({apart})" if apart else text


def _apart(group: Group, groups: Iterable[Group]) -> str:
    """What sets a group apart from the others of its benchmark: `block, d_model 128`."""
    own, *others = (
        {**dict(cell.axes), "backend": cell.backend, "dtype": cell.dtype, "device": cell.device}
        for benchmark, cell in (group, *groups)
        if benchmark == group[0]
    )
    differing = {k: v for k, v in own.items() if any(o.get(k) != v for o in others)}
    return ", ".join(v if isinstance(v, str) else f"{k} {v}" for k, v in differing.items())


def _held(run: Run, group: Group, found: Iterable[Point]) -> str:
    """What all of a picture share: the axes that the suite names, how it ran, and the parameters where counted."""
    benchmark, cell = group
    chosen = next((b["matrix"] for b in run.suite["benchmarks"] if b["name"] == benchmark), dict(cell.axes))
    axes = [f"{k} {v}" for k, v in cell.axes if k in chosen]
    sizes = {int(v) for p in found for v in _of_seeds(p, PARAMETERS)}
    if sizes:
        axes.append(f"{' to '.join(f'{n:,}' for n in sorted({min(sizes), max(sizes)}))} parameters")
    return f"Held constant: {', '.join([*axes, cell.backend, cell.dtype, cell.device])}"


def _mean_over(counts: Sequence[int]) -> str:
    some = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return f"Means over {some} seeds" if max(counts) > 1 else "One seed, so there is no interval"


def _troubles(found: Iterable[Point]) -> str:
    """Which activations miss trials, and why: a mean over the survivors must be read as one."""
    told = [f"{p.cell.activation} ({p.trouble().splitlines()[0].rstrip('.')})" for p in found if p.trouble()]
    return f"Without the trials that failed: {', '.join(told)}" if told else ""


def _sentences(*parts: str) -> str:
    return " ".join(f"{p.rstrip('.')}." for p in parts if p)
