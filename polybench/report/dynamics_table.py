"""Tables of what goes on inside of the decoders: each activation beside the reference, and what it has learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import fmean

from polybench.compare.comparison import Comparison, across
from polybench.compare.grid import Point, by_step
from polybench.document import Column, Entry, Table
from polybench.measure.dynamics_metrics import LAYER_COEFFICIENTS, SCALARS
from polybench.metric import Metric, significant
from polybench.report.grouping import mean_over, sentences
from polybench.report.table import change_entry, field_of, status_word, varying_axes
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_SEED

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
