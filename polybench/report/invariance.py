"""Which activations do not see the scale of their input, and from where an eps makes them see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.construction import experiment
from polybench.compare.points import Point, by_place, by_step
from polybench.document import Column, Entry, Figure, Series, Table
from polybench.measure.kinds.approximation import RADIAL_CURVE, RADIAL_SHARE, ROWS, SCALE_CHANGE, SCALE_CURVE
from polybench.metric import Metric
from polybench.report.section import Section
from polybench.report.wording import field_of, held_constant, key_of, sentences, title_of, worst_entry

_SCALARS = (SCALE_CHANGE, RADIAL_SHARE)


def section(comparisons: Comparisons) -> Section:
    """Empty where a run has scaled no input."""
    scaled = experiment(comparisons, "scale")
    if not scaled:
        return Section()
    told = frozenset(m.name for m in _SCALARS)
    return Section(tables=(_table(scaled),), figures=tuple(_figures(comparisons, scaled)), metrics=told)


def _table(scaled: Sequence[Point]) -> Table:
    return Table(
        key="scale",
        title="Who sees the scale of its input",
        caption=sentences(
            f"In float64, of {ROWS} rows, the worst of {max(len(p.ok()) for p in scaled)} seeds",
            *(f"{m.name}: {m.definition}" for m in _SCALARS),
            "An eps under the root lets a row's scale be seen where the mean of its powers is no larger",
        ),
        columns=(
            Column("activation", numeric=False),
            Column("width", numeric=False),
            *(Column(m.name, note=m.definition) for m in _SCALARS),
        ),
        rows=tuple(
            (Entry(p.cell.activation), Entry(field_of(p.cell, "width")), *(worst_entry(p, m) for m in _SCALARS))
            for p in scaled
        ),
        notes=tuple(f"{p.cell.activation}: {why}" for p in scaled if (why := p.trouble())),
    )


def _figures(comparisons: Comparisons, scaled: Sequence[Point]) -> Iterator[Figure]:
    """What remains of blindness to scale, by the scale of the input."""
    groups = by_place(p for p in scaled if p.ok())
    for metric, what, across in (
        (SCALE_CURVE, "Change of the output as the input is scaled", "c"),
        (RADIAL_CURVE, "Share of the gradient along the input", "Scale of the input"),
    ):
        for group, members in groups.items():
            lines = tuple(line for p in members if (line := _worst_line(p, metric)).x)
            if not lines:
                continue
            yield Figure(
                key=key_of("scale", metric.name, group, groups),
                kind="curves",
                title=title_of(what, group, groups),
                caption=sentences(
                    metric.definition,
                    "The worst of the seeds; what is exactly 0 has no point",
                    held_constant(comparisons, group, ()),
                ),
                x_label=across,
                y_label=what,
                series=lines,
                logarithmic="both",
            )


def _worst_line(point: Point, metric: Metric) -> Series:
    worst = {10.0**step: max(values) for step, values in by_step(point, metric).items() if max(values) > 0}
    return Series(point.cell.activation, tuple(worst), tuple(worst.values()))
