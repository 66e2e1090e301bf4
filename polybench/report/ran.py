"""What each cell of a benchmark really ran, where torch.compile was asked to make code of something."""

from __future__ import annotations

from collections.abc import Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, typical
from polybench.document import ABSENT, Column, Entry, Table
from polybench.measure.ran_metrics import BREAKS, FRAMES, GENERATED, OPERATORS
from polybench.metric import Metric, scale_for
from polybench.report.section import Section
from polybench.report.wording import head_columns, head_entries, varying_axes

_NAMES = {FRAMES: "compiled frames", BREAKS: "graph breaks", OPERATORS: "operators", GENERATED: "generated kernels"}


def section(comparisons: Comparisons) -> Section:
    """A table for each benchmark in which a frame was compiled."""
    tables = []
    for name in [b.name for b in comparisons.run.suite.benchmarks]:
        points = [p for p in comparisons.points() if p.benchmark == name and p.values(FRAMES.name)]
        if any(typical(p, FRAMES) for p in points):
            tables.append(_counts(comparisons, name, points))
    return Section(tables=tuple(tables))


def _counts(comparisons: Comparisons, name: str, points: Sequence[Point]) -> Table:
    varying, shared = varying_axes([p.cell for p in points])
    columns = (*head_columns(varying), *(Column(said, "", m.definition) for m, said in _NAMES.items()))
    rows = tuple((*head_entries(p.cell, varying), *(_count(p, metric) for metric in _NAMES)) for p in points)
    return Table(
        key=f"{name}-ran",
        title=f"{name}: what ran",
        caption=(
            f"On {', '.join([comparisons.run.device, *shared])}. Of one forward and backward pass: of the activation "
            "alone, or of the whole model where that is compiled. What is compiled has no operator outside of compiled "
            "code, or it is unsupported; its operators are those that generated code calls."
        ),
        columns=columns,
        rows=rows,
    )


def _count(point: Point, metric: Metric) -> Entry:
    value = typical(point, metric)
    return Entry(ABSENT) if value is None else Entry(scale_for(metric.unit, [value]).show(value), value)
