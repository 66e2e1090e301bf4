"""What a training looked like inside: tables and pictures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean

from polybench.compare.comparison import Comparison, across
from polybench.compare.grid import Point, by_step, grouped, points
from polybench.document import Column, Entry, Figure, Series, Table
from polybench.measure import training_metrics as metrics
from polybench.measure.training_metrics import LAYER_COEFFICIENTS, SCALARS
from polybench.metric import Metric, significant
from polybench.report.figures import FEW_SEEDS
from polybench.report.wording import (
    change_entry,
    field_of,
    held_constant,
    key_of,
    mean_over,
    sentences,
    status_word,
    title_of,
    troubles,
    varying_axes,
)
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_SEED, paired

_WIDTH = "Gated blocks are narrower at equal parameters, and already at random a narrower matrix has a lower rank"
# (metric, title, what the reader must know)
_BY_LAYER = (
    (metrics.W_IN_RANK, "Effective rank of w_in", _WIDTH),
    (metrics.W_OUT_RANK, "Effective rank of w_out", _WIDTH),
    (metrics.LAYER_COSINE, "Cosine of a layer's input and output", ""),
    (metrics.LAYER_RMS, "Root mean square of activations", ""),
    (metrics.LAYER_KURTOSIS, "Kurtosis of activations", ""),
    (metrics.LAYER_ZEROS, "Share of zeros in activations", ""),
)
_LEARNED = tuple((m, f"Learned coefficient a_{i}", "") for i, m in enumerate(metrics.COEFFICIENTS))

METRICS = tuple(metric.name for metric in SCALARS)


def dynamics_tables(run: Run) -> Iterator[Table]:
    """For each benchmark that was observed its dynamics, and its coefficients where there are any."""
    by_place: dict[str, dict[Point, dict[str, Comparison]]] = defaultdict(lambda: defaultdict(dict))
    for metric in SCALARS:
        for c in across(run, only=metric.name):
            by_place[c.point.benchmark][c.point][metric.name] = c
    for name, found in by_place.items():
        if any(c.value is not None for row in found.values() for c in row.values()):
            yield _compared(run, name, found)
            learned = [p for p in found if any(by_step(p, m) for m in LAYER_COEFFICIENTS)]
            if learned:
                yield _learned(name, learned)


def _compared(run: Run, name: str, found: dict[Point, dict[str, Comparison]]) -> Table:
    reference = run.suite["reference"]
    rows = list(found)
    varying, _ = varying_axes([p.cell for p in rows])
    columns = [Column(c, numeric=False) for c in ("activation", *varying)]
    for metric in SCALARS:
        over = f"over {reference}'s" if metric.effect == "ratio" else f"less {reference}'s"
        columns += [Column(title, note=metric.definition) for title in (metric.name, f"{metric.name} {over}")]
    return Table(
        key=f"{name}-dynamics",
        title=f"Dynamics: {name}",
        caption=sentences(
            "What goes on inside after training, where no direction is better",
            f"{mean_over([len(p.ok()) for p in rows])}; changes are paired by seed and carry {CONFIDENCE_SEED:.0%} t "
            "intervals",
            *(f"{m.name}: {m.definition}" for m in SCALARS),
        ),
        columns=tuple(columns),
        rows=tuple(
            (
                *(Entry(e) for e in (point.cell.activation, *(field_of(point.cell, a) for a in varying))),
                *(e for metric in SCALARS for e in _entries(found[point][metric.name], reference)),
            )
            for point in rows
        ),
    )


def _entries(comparison: Comparison, reference: str) -> tuple[Entry, Entry]:
    value = comparison.value
    shown = Entry(status_word(comparison.point)) if value is None else Entry(significant(value, 4), value)
    return shown, change_entry(comparison, reference)


def _learned(name: str, rows: Sequence[Point]) -> Table:
    varying, _ = varying_axes([p.cell for p in rows])
    numbers = [i for i, m in enumerate(LAYER_COEFFICIENTS) if any(by_step(p, m) for p in rows)]
    return Table(
        key=f"{name}-coefficients",
        title=f"Learned coefficients: {name}",
        caption=sentences(
            "Coefficients of the activations after training: mean over seeds and layers, and in parentheses the "
            "lowest and the highest layer's mean over seeds",
            "a_0 is the bias; all others count from the last parameter, so that a_i of a polynomial is that of power i",
        ),
        columns=(
            *(Column(c, numeric=False) for c in ("activation", *varying)),
            *(Column(f"a_{i}", note=LAYER_COEFFICIENTS[i].definition) for i in numbers),
        ),
        rows=tuple(
            (
                *(Entry(e) for e in (point.cell.activation, *(field_of(point.cell, a) for a in varying))),
                *(_coefficient(point, LAYER_COEFFICIENTS[i]) for i in numbers),
            )
            for point in rows
        ),
    )


def _coefficient(point: Point, metric: Metric) -> Entry:
    layers = [fmean(values) for values in by_step(point, metric).values()]
    if not layers:
        return Entry("–")
    low, mean, high = (significant(v, 3) for v in (min(layers), fmean(layers), max(layers)))
    return Entry(f"{mean} ({low} to {high})", fmean(layers))


def dynamics_figures(run: Run) -> Iterator[Figure]:
    """A picture for each metric and group of cells that a run observed; a line an activation."""
    every = grouped(points(run))
    for metric, what, told in (*_BY_LAYER, *_LEARNED):
        observed = {g: [p for p in ps if any(any(v) for v in by_step(p, metric).values())] for g, ps in every.items()}
        groups = {g: ps for g, ps in observed.items() if ps}
        for group in groups:
            found = [p for p in every[group] if by_step(p, metric)]
            counts = [max(map(len, by_step(p, metric).values())) for p in found]
            few = min(counts) < FEW_SEEDS
            band = "the range of the seeds" if few else f"the {CONFIDENCE_SEED:.0%} t interval of the mean"
            lines = [line for p in found if (line := _line(p, by_step(p, metric), few)).x]
            yield Figure(
                key=key_of("dynamics", metric.name, group, groups),
                kind="curves",
                title=title_of(what, group, groups),
                caption=sentences(
                    metric.definition,
                    told,
                    mean_over(counts) + (f"; the band is {band}" if max(counts) > 1 else ""),
                    held_constant(run, group, found),
                    troubles(every[group]),
                ),
                x_label="Layer" if metric.along == "layer" else "Optimizer steps",
                y_label=what,
                series=tuple(lines),
            )


def _line(point: Point, values: dict[int, list[float]], few: bool) -> Series:
    """Mean and band where every seed has a finite value."""
    seeds = max(map(len, values.values()))
    rows = []
    for x, found in sorted(values.items()):
        if len(found) == seeds and all(map(math.isfinite, found)):
            middle = paired(found, CONFIDENCE_SEED)
            rows.append((float(x), middle.value, *((min(found), max(found)) if few else (middle.low, middle.high))))
    xs, ys, lows, highs = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Series(point.cell.activation, xs, ys, *((lows, highs) if seeds > 1 else ()))
