"""Errors against float64: tables, and pictures over the input's scale."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, by_place, by_step
from polybench.document import ABSENT, Column, Entry, Figure, Series, Table
from polybench.measure.kinds import accuracy as kind
from polybench.measure.kinds.accuracy import FORWARD_CURVE, GRADIENT_CURVE, ROUNDOFF, SOUND
from polybench.metric import Metric, power_of_ten, significant
from polybench.plan.suite import DTYPES
from polybench.record import Record
from polybench.report.section import Section
from polybench.report.wording import (
    head_columns,
    held_constant,
    key_of,
    sentences,
    status_word,
    title_of,
    troubles,
)

KIND = "accuracy"
_PICTURES = ((FORWARD_CURVE, "Error of the output"), (GRADIENT_CURVE, "Error of the gradient to the input"))

_SHOWN = (
    (kind.FORWARD_ULP, "output, median"),
    (kind.FORWARD_WORST, "output, worst"),
    (kind.FORWARD, "output, norm"),
    (kind.GRADIENT_ULP, "gradient, median"),
    (kind.GRADIENT, "gradient, norm"),
    (kind.PARAMETER, "parameters, norm"),
)


def section(comparisons: Comparisons) -> Section:
    """Empty where a run has measured no errors."""
    points = [p for p in comparisons.points() if p.cell.kind == KIND]
    return Section(tables=tuple(_tables(comparisons, points)), figures=tuple(_figures(comparisons, points)))


def _tables(comparisons: Comparisons, points: Sequence[Point]) -> Iterator[Table]:
    """For each accuracy benchmark the errors, and the largest inputs that are survived."""
    benchmarks: dict[str, list[Point]] = defaultdict(list)
    for point in points:
        benchmarks[point.benchmark].append(point)
    for name, members in benchmarks.items():
        yield _errors(comparisons, name, members)
        if any(p.values(kind.LARGEST_INPUT.name) for p in members):
            yield _survives(comparisons, name, members)


def _survives(comparisons: Comparisons, name: str, members: Sequence[Point]) -> Table:
    """A row an activation, a column a type and backend; the least of several row lengths."""
    cells: dict[str, dict[tuple[str, str], list[Point]]] = defaultdict(lambda: defaultdict(list))
    for point in members:
        cells[point.cell.activation][point.cell.dtype, point.cell.backend].append(point)
    ways = list(dict.fromkeys((p.cell.dtype, p.cell.backend) for p in members if p.cell.dtype != kind.EXACT))
    ways.sort(key=lambda way: DTYPES.index(way[0]))
    return Table(
        key=f"{name}-survives",
        title=f"The largest input that is survived: {name}",
        caption=sentences(
            f"{kind.LARGEST_INPUT.definition} On {comparisons.run.device}; exact, the same on every run of one machine",
            "All: whatever number the type has. Nowhere: not even 1. Not measured: by a polybench that did not ask yet",
        ),
        columns=(*head_columns(()), *(Column(f"{dtype} {backend}") for dtype, backend in ways)),
        rows=tuple((Entry(name), *(_survived(of.get(way, ())) for way in ways)) for name, of in cells.items()),
    )


def _survived(points: Sequence[Point]) -> Entry:
    if not any(p.ok() for p in points):
        return Entry(status_word(points[0]) if points else ABSENT)
    values = [p.values(kind.LARGEST_INPUT.name) for p in points if p.ok()]
    if not all(values):
        return Entry("not measured")
    least, most = min(map(min, values)), kind.LARGEST[points[0].cell.dtype]
    return Entry("all" if least == most else f"{least:.9g}" if least else "nowhere", least)


def _errors(comparisons: Comparisons, name: str, members: Sequence[Point]) -> Table:
    rows: dict[tuple[str, str, str], list[Point]] = defaultdict(list)
    for point in members:
        rows[point.cell.activation, point.cell.backend, point.cell.dtype].append(point)
    columns = [Column(c, numeric=False) for c in ("activation", "backend", "dtype")]
    columns += [Column(header, "" if m.unit == "1" else m.unit, m.definition) for m, header in _SHOWN]
    columns.append(Column("sound from", note=kind.SOUND_FROM.definition))
    columns.append(Column("sound to", note=kind.SOUND_TO.definition))
    columns.append(Column("not finite", numeric=False, note=kind.NOT_FINITE.definition))
    widths = sorted({int(p.cell.axis("width")) for p in members})
    lengths = f"row lengths {', '.join(map(str, widths))}" if len(widths) > 1 else f"row length {widths[0]}"
    seeds = len({r.trial.seed for p in members for r in p.records})
    return Table(
        key=f"{name}-errors",
        title=f"How exact: {name}",
        caption=sentences(
            f"Distance from float64 of the same values on {comparisons.run.device}, with N(0, 1) as input; the worst "
            f"of {lengths} and {seeds} seed{'s' if seeds > 1 else ''}. Norms are |error| / |exact|",
            f"Sound are the scales of the input, of {power_of_ten(10.0 ** kind.DECADES[0])} to "
            f"{power_of_ten(10.0 ** kind.DECADES[-1])}, up to which from 1 all is finite and the norms of output and "
            f"gradient are within {kind.SOUND} unit roundoffs; in parentheses the row lengths that bound them",
        ),
        columns=tuple(columns),
        rows=tuple(
            (Entry(activation), Entry(backend), Entry(dtype), *_row(points, widths))
            for (activation, backend, dtype), points in rows.items()
        ),
    )


def _row(points: Sequence[Point], widths: Sequence[int]) -> Iterator[Entry]:
    records = [r for p in points for r in p.ok()]
    if not records:
        yield from (Entry(status_word(points[0])) for _ in range(len(_SHOWN) + 3))
        return
    for metric, _ in _SHOWN:
        yield _largest(metric, records)
    yield _limit(kind.SOUND_FROM, records, widths)
    yield _limit(kind.SOUND_TO, records, widths)
    yield Entry(_not_finite(records))


def _largest(metric: Metric, records: Sequence[Record]) -> Entry:
    """The largest error of all; a value that is not finite was left out by the kind."""
    values = [m.values[0] for r in records if (m := r.get(metric.name))]
    if not values:
        return Entry(ABSENT)
    if len(values) < len(records):
        return Entry("not finite")
    return Entry(significant(max(values), 2), max(values))


def _limit(metric: Metric, records: Sequence[Record], widths: Sequence[int]) -> Entry:
    """The scale at which soundness ends first, and at which row lengths where not at all."""
    worst = math.inf if metric.better == "lower" else 0.0  # nowhere
    limits = {r.trial.id: m.values[0] if (m := r.get(metric.name)) else worst for r in records}
    limit = max(limits.values()) if metric.better == "lower" else min(limits.values())
    at = sorted({int(r.trial.cell.axis("width")) for r in records if limits[r.trial.id] == limit})
    where = f" ({', '.join(map(str, at))})" if len(at) < len(widths) else ""
    if limit == worst:
        return Entry(f"nowhere{where}")
    return Entry(f"{power_of_ten(limit)}{where}", limit)


def _not_finite(records: Sequence[Record]) -> str:
    """From which scale upwards or downwards NaN or infinities begin."""
    curves = [m for r in records if (m := r.get(kind.NOT_FINITE.name)) and m.steps]
    lost = {step for m in curves for step, share in zip(m.steps or (), m.values, strict=True) if share > 0}
    up, down = [s for s in lost if s >= 0], [s for s in lost if s < 0]
    parts = [f"from {power_of_ten(10.0 ** min(up))} up"] if up else []
    parts += [f"from {power_of_ten(10.0 ** max(down))} down"] if down else []
    return ", ".join(parts) or "never"


def _figures(comparisons: Comparisons, points: Sequence[Point]) -> Iterator[Figure]:
    """Two pictures for each type and row length, of the first backend of a benchmark: the table has them all."""
    first = comparisons.grid.first_backend
    groups = by_place(p for p in points if p.cell.backend == first(p.benchmark))
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
                    held_constant(comparisons, group, members),
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
