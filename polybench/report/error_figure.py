"""Pictures of how exact each activation is: errors against the scale of the input, both logarithmic."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from polybench.compare.grid import Point, by_step, grouped, points
from polybench.document import Figure, Series
from polybench.measure.kinds.accuracy import FORWARD_CURVE, GRADIENT_CURVE, ROUNDOFF, SOUND
from polybench.metric import Metric
from polybench.report.grouping import held_constant, key_of, sentences, title_of, troubles
from polybench.run.store import Run

_PICTURES = ((FORWARD_CURVE, "Error of the output"), (GRADIENT_CURVE, "Error of the gradient to the input"))


def error_figures(run: Run) -> Iterator[Figure]:
    """Two pictures for each type and row length, of the first backend of a benchmark: the table has them all."""
    first = {b["name"]: b["backends"][0] for b in run.suite["benchmarks"]}
    found = [p for p in points(run) if p.cell.kind == "accuracy" and p.cell.backend == first.get(p.benchmark)]
    groups = grouped(found)
    for metric, what in _PICTURES:
        for group, members in groups.items():
            lines = [line for p in members if (line := _line(p, metric)).x]
            missing = {p.cell.activation for p in members if p.ok()} - {line.label for line in lines}
            exact = [p.cell.activation for p in members if p.cell.activation in missing and _exact(p, metric)]
            if not lines:
                continue
            roundoff = ROUNDOFF[group[1].dtype]
            seeds = max(len(p.ok()) for p in members)
            yield Figure(
                key=key_of("error", metric.name, group, groups),
                kind="curves",
                title=title_of(what, group, groups),
                caption=sentences(
                    metric.definition[0].upper() + metric.definition[1:],
                    f"The line across is {SOUND} unit roundoffs of {group[1].dtype}, up to which an error is sound",
                    f"Geometric means over {seeds} seeds, the band is their range" if seeds > 1 else "One seed",
                    f"Exact to the last bit at every scale: {', '.join(exact)}" if exact else "",
                    "A line ends where a value is not finite, and has no point where the error is 0",
                    held_constant(run, group, members),
                    troubles(members),
                ),
                x_label="Scale of the input",
                y_label="|error| / |exact|",
                series=tuple(lines),
                baseline=SOUND * roundoff,
                logarithmic="both",
            )


def _line(point: Point, metric: Metric) -> Series:
    """Geometric mean and range at the scales where every seed has an error above zero and below infinity."""
    rows = [
        (10.0**step, statistics.geometric_mean(values), min(values), max(values))
        for step, values in by_step(point, metric).items()
        if all(0 < v < math.inf for v in values)
    ]
    x, y, low, high = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Series(point.cell.activation, x, y, *((low, high) if len(point.ok()) > 1 else ()))


def _exact(point: Point, metric: Metric) -> bool:
    return all(v == 0 for values in by_step(point, metric).values() for v in values)
