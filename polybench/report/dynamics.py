"""What a training looked like inside: tables and pictures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, by_place, by_step
from polybench.document import ABSENT, Column, Entry, Figure, Series, Table
from polybench.measure import training_metrics as metrics
from polybench.measure.range_metrics import RANGES
from polybench.measure.training_metrics import LAYER_COEFFICIENTS, SCALARS
from polybench.metric import Metric, significant
from polybench.report import bands
from polybench.report.section import Section
from polybench.report.wording import (
    change_entry,
    head_columns,
    head_entries,
    held_constant,
    key_of,
    mean_over,
    sentences,
    status_word,
    title_of,
    troubles,
    varying_axes,
)
from polybench.stats import CONFIDENCE_SEED

_WIDTH = "Gated blocks are narrower at equal parameters, and already at random a narrower matrix has a lower rank"
# (metric, title, what the reader must know)
_BY_LAYER = (
    (metrics.W_IN_RANK, "Effective rank of w_in", _WIDTH),
    (metrics.W_OUT_RANK, "Effective rank of w_out", _WIDTH),
    (metrics.LAYER_COSINE, "Cosine of a layer's input and output", ""),
    (metrics.LAYER_RMS, "Root mean square of activations", ""),
    (metrics.LAYER_KURTOSIS, "Kurtosis of activations", ""),
)
_LEARNED = tuple((m, f"Learned coefficient a_{i}", "") for i, m in enumerate(metrics.COEFFICIENTS))

# A crest factor has its column alone, and zeros their layers.
_RANGED = tuple((r.by_layer, r.by_layer.heading, "") for r in RANGES if r.what != "crest") + tuple(
    (r.by_step, f"{r.by_step.heading} as training goes on", "") for r in RANGES if r.what not in ("crest", "zeros")
)
_SCALARS = (*SCALARS, *(r.scalar for r in RANGES))

Rows = dict[Point, dict[Metric, Comparison]]


def section(comparisons: Comparisons) -> Section:
    """Of each benchmark that was observed its dynamics, its coefficients where there are any, and the pictures."""
    observed = _observed(comparisons)
    tables = [table for name, rows in observed.items() for table in _tables(comparisons, name, rows)]
    told = frozenset(m.name for m in _SCALARS if observed)
    return Section(tables=tuple(tables), figures=tuple(_figures(comparisons)), metrics=told)


def _observed(comparisons: Comparisons) -> dict[str, Rows]:
    """The comparisons of all scalars by benchmark and point, of the benchmarks that have any value."""
    benchmarks: dict[str, Rows] = defaultdict(lambda: defaultdict(dict))
    for metric in _SCALARS:
        for point, comparison in comparisons.to_reference(metric.name).items():
            benchmarks[point.benchmark][point][metric] = comparison
    return {
        n: rows
        for n, rows in benchmarks.items()
        if any(c.value is not None for of in rows.values() for c in of.values())
    }


def _tables(comparisons: Comparisons, name: str, rows: Rows) -> Iterator[Table]:
    inside = "What goes on inside after training, where no direction is better"
    known = [m for m in SCALARS if any(m in of and of[m].value is not None for of in rows.values())]
    yield _compared(comparisons, f"{name}-dynamics", f"Dynamics: {name}", [inside], known, rows)
    if measured := [r.scalar for r in RANGES if all(r.scalar in of for of in rows.values())]:
        nothing = [m for m in measured if m.unit == "share" and not any(of[m].value for of in rows.values())]
        told = [
            "How large the values around the activations are after training, and which of them formats of numbers do "
            "not hold",
            f"0 everywhere, so without a column: {', '.join(m.name for m in nothing)}" if nothing else "",
        ]
        shown = [m for m in measured if m not in nothing]
        yield _compared(comparisons, f"{name}-ranges", f"Ranges: {name}", told, shown, rows)
    learned = [p for p in rows if any(by_step(p, m) for m in LAYER_COEFFICIENTS)]
    if learned:
        yield _coefficients(name, learned)


def _compared(
    comparisons: Comparisons, key: str, title: str, told: Sequence[str], metrics: Sequence[Metric], rows: Rows
) -> Table:
    """A row a point: each metric's value, and its change to the reference's."""
    reference = comparisons.reference
    varying, _ = varying_axes([p.cell for p in rows])
    columns = head_columns(varying)
    for metric in metrics:
        over = f"over {reference}'s" if metric.effect == "ratio" else f"less {reference}'s"
        columns += [Column(title, note=metric.definition) for title in (metric.name, f"{metric.name} {over}")]
    return Table(
        key=key,
        title=title,
        caption=sentences(
            *told,
            f"{mean_over([len(p.ok()) for p in rows])}; changes are paired by seed and carry {CONFIDENCE_SEED:.0%} t "
            "intervals",
            *(f"{m.name}: {m.definition}" for m in metrics),
        ),
        columns=tuple(columns),
        rows=tuple(
            (
                *head_entries(point.cell, varying),
                *(entry for metric in metrics for entry in _entries(of[metric], reference)),
            )
            for point, of in rows.items()
        ),
    )


def _entries(comparison: Comparison, reference: str) -> tuple[Entry, Entry]:
    value = comparison.value
    shown = Entry(status_word(comparison.point)) if value is None else Entry(significant(value, 4), value)
    return shown, change_entry(comparison, reference)


def _coefficients(name: str, rows: Sequence[Point]) -> Table:
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
            *head_columns(varying),
            *(Column(f"a_{i}", note=LAYER_COEFFICIENTS[i].definition) for i in numbers),
        ),
        rows=tuple(
            (
                *head_entries(point.cell, varying),
                *(_coefficient(point, LAYER_COEFFICIENTS[i]) for i in numbers),
            )
            for point in rows
        ),
    )


def _coefficient(point: Point, metric: Metric) -> Entry:
    layers = [fmean(values) for values in by_step(point, metric).values()]
    if not layers:
        return Entry(ABSENT)
    low, mean, high = (significant(v, 3) for v in (min(layers), fmean(layers), max(layers)))
    return Entry(f"{mean} ({low} to {high})", fmean(layers))


def _figures(comparisons: Comparisons) -> Iterator[Figure]:
    """A picture for each metric and group of cells that a run observed; a line an activation."""
    every = by_place(comparisons.points())
    for metric, what, caveat in (*_BY_LAYER, *_RANGED, *_LEARNED):
        observed = {g: [p for p in ps if any(any(v) for v in by_step(p, metric).values())] for g, ps in every.items()}
        groups = {g: ps for g, ps in observed.items() if ps}
        for group in groups:
            points = [p for p in every[group] if by_step(p, metric)]
            counts = [max(map(len, by_step(p, metric).values())) for p in points]
            lines = (_line(p, by_step(p, metric), bands.few(counts)) for p in points)
            yield Figure(
                key=key_of("dynamics", metric.name, group, groups),
                kind="curves",
                title=title_of(what, group, groups),
                caption=sentences(
                    metric.definition,
                    caveat,
                    bands.told(counts, max(counts) > 1),
                    held_constant(comparisons, group, points),
                    troubles(every[group]),
                ),
                x_label="Layer" if metric.along == "layer" else "Optimizer steps",
                y_label=what,
                series=tuple(line for line in lines if line.x),
            )


def _line(point: Point, values: dict[int, list[float]], few: bool) -> Series:
    """Mean and band where every seed has a finite value."""
    seeds = max(map(len, values.values()))
    whole = {
        float(x): of_seeds
        for x, of_seeds in sorted(values.items())
        if len(of_seeds) == seeds and all(map(math.isfinite, of_seeds))
    }
    return bands.line(point.cell.activation, whole, few, seeds > 1)
