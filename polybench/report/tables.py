"""Tables of a run: one a benchmark, every activation beside the reference, one unit a column."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from polybench.compare.comparison import Comparison, of_losses, standing
from polybench.compare.comparisons import Comparisons
from polybench.compare.moving import moved
from polybench.compare.points import Point, by_place
from polybench.document import Column, Entry, Table
from polybench.measure.speed_metrics import THROTTLED, TIMED_BY, TOTAL
from polybench.measure.training_metrics import DIVIDED, SHARED, SIDES
from polybench.metric import Metric, Scale, scale_for
from polybench.report.section import Section
from polybench.report.wording import (
    change_entry,
    head_columns,
    head_entries,
    name_of,
    remedies,
    show,
    status_word,
    varying_axes,
)
from polybench.stats import ALPHA, CONFIDENCE_SEED, CONFIDENCE_TIME

Cells = Mapping[Metric, Mapping[Point, Comparison]]  # of one benchmark


def section(comparisons: Comparisons, told: frozenset[str] = frozenset()) -> Section:
    """One table for each benchmark of the run that has records with more than curves.

    Metrics that other sections have `told` are left out; a benchmark that has nothing else gets no table here.
    """
    benchmarks: dict[str, dict[Metric, dict[Point, Comparison]]] = defaultdict(lambda: defaultdict(dict))
    covered: set[str] = set()
    for comparison in comparisons.every():
        if comparison.metric.name not in told:
            benchmarks[comparison.benchmark][comparison.metric][comparison.point] = comparison
        elif comparison.value is not None:
            covered.add(comparison.benchmark)
    wanted = {name: cells for name, cells in benchmarks.items() if name not in covered or _shown(cells)}
    return Section(tables=tuple(_benchmark(comparisons, name, cells) for name, cells in wanted.items()))


def _benchmark(comparisons: Comparisons, name: str, cells: Cells) -> Table:
    rows, metrics = list(next(iter(cells.values()))), _shown(cells)
    varying, shared = varying_axes([p.cell for p in rows])
    best = {m: _best(list(cells[m].values())) for m in metrics}
    scales = {m: scale_for(m.unit, (v for c in cells[m].values() if (v := c.value) is not None)) for m in metrics}
    columns, reference = head_columns(varying), comparisons.reference
    for metric in metrics:
        columns.append(Column(metric.name, scales[metric].unit, metric.definition))
        if metric.better != "neither":
            what = f"over {reference}'s" if metric.effect == "ratio" else f"less {reference}'s"
            unit = "" if metric.effect == "ratio" else metric.unit
            columns.append(Column(f"{metric.name} {what}", unit, metric.definition))
    body = []
    for point in rows:
        line = head_entries(point.cell, varying)
        for metric in metrics:
            comparison = cells[metric][point]
            line.append(_value(comparison, scales[metric], point in best[metric]))
            if metric.better != "neither":
                line.append(change_entry(comparison, reference))
        body.append(tuple(line))
    return Table(
        key=name,
        title=name,
        caption=_caption(comparisons, shared, metrics, rows),
        columns=tuple(columns),
        rows=tuple(body),
        notes=tuple(_notes(comparisons, rows, cells)),
    )


def _shown(cells: Cells) -> list[Metric]:
    return [m for m, of in cells.items() if not m.hidden and any(c.value is not None for c in of.values())]


def _value(comparison: Comparison, scale: Scale, best: bool) -> Entry:
    if comparison.value is None:
        return Entry(status_word(comparison.point))
    if math.isinf(comparison.value):
        values = comparison.point.values(comparison.metric.name)
        reached = sum(map(math.isfinite, values))
        return Entry(f"reached by {reached} of {len(values)}" if reached else "not reached", comparison.value)
    return Entry(scale.show(comparison.value), comparison.value, best=best)


def _best(comparisons: Sequence[Comparison]) -> set[Point]:
    """In each group of comparable cells the best one, if its interval excludes the second's."""
    best: set[Point] = set()
    judged = [c for c in comparisons if c.metric.better != "neither"]
    sound = [c for c in judged if c.value is not None and math.isfinite(c.value)]
    sound = [c for c in sound if not (c.point.trouble() or c.diverged)]
    for group in by_place(sound).values():
        if len(group) < 2:
            continue
        sign = -1 if group[0].metric.better == "higher" else 1
        first, second = sorted(group, key=lambda c: sign * standing(c))[:2]
        if first.metric.varies_with == "nothing":
            apart = first.value != second.value
        else:
            (a_low, a_high), (b_low, b_high) = _ends(first), _ends(second)
            apart = a_high < b_low or b_high < a_low
        if apart:
            best.add(first.point)
    return best


def _ends(comparison: Comparison) -> tuple[float, float]:
    """The interval against the reference; for the reference itself its own value."""
    if comparison.change:
        return comparison.change.low, comparison.change.high
    if comparison.point.cell.activation == comparison.against:
        own = 1.0 if comparison.metric.effect == "ratio" else 0.0
        return own, own
    return -math.inf, math.inf


def _caption(comparisons: Comparisons, shared: Sequence[str], metrics: Sequence[Metric], rows: Sequence[Point]) -> str:
    parts = [f"Kind {rows[0].cell.kind} on {', '.join([comparisons.run.device, *shared])}."]
    ways = {m.varies_with for m in metrics if m.better != "neither"}
    repeats, grid = max(len(p.records) for p in rows), comparisons.grid
    if "sample" in ways:
        timed = [m for p in rows for r in p.records for m in r.measurements if m.metric == TOTAL.name]
        counts = sorted({len(m.values) for m in timed})
        margin = grid.margin(rows[0].benchmark)
        times = " to ".join(map(str, sorted({min(len(p.records) for p in rows), repeats})))
        blocks = " to ".join(map(str, sorted({counts[0], counts[-1]}))) if counts else "no"
        parts.append(
            f"Medians over {times} launch{'es' * (repeats > 1)} of {blocks} blocks; ratios are taken inside a block "
            f"and carry {CONFIDENCE_TIME:.0%} intervals, judged against a margin of {margin:.0%}, "
            "or twice what the A/A copy is off by. They hold for this session: on another day a ratio may lie outside."
        )
        clocks = sorted({r.facts[TIMED_BY] for p in rows for r in p.records if TIMED_BY in r.facts})
        parts += [f"Timed by {' or '.join(clocks)}."] if clocks else []
        firsts = [points[0] for points in by_place(rows).values()]  # all of a place took turns, so they drop the same
        dropped = sum(int(r.facts.get(THROTTLED, 0)) for p in firsts for r in p.records)
        parts += [f"{dropped} blocks at a throttled clock were dropped."] if dropped else []
    if "seed" in ways:
        parts.append(
            f"Means over {repeats} seed{'s' * (repeats > 1)}; changes are paired by seed and carry "
            f"{CONFIDENCE_SEED:.0%} t intervals."
        )
    if "nothing" in ways:
        parts.append("Bytes and counts are exact.")
    if any(map(of_losses, metrics)):
        parts.append(
            f"Differences of losses also survive their looks and Holm ({ALPHA:.0%}) over their cell, or are not "
            "resolved."
        )
        margin, unit = max((grid.loss_margin(rows[0].benchmark, m), m.unit) for m in metrics)
        parts += [f"Same: shown to be within {margin:g} {unit}."] if margin else []
    if any(m.varies_with != "nothing" and m.better != "neither" and not of_losses(m) for m in metrics):
        parts.append(f"Ratios also survive Benjamini-Hochberg ({ALPHA:.0%}) over their column, or are not resolved.")
    shared = sorted({r.facts[SHARED] for p in rows for r in p.records if SHARED in r.facts})
    parts += [f"Held-out runs of 13 words that training text has too: {', '.join(shared)}."] if shared else []
    sides = sorted({r.facts[SIDES] for p in rows for r in p.records if r.facts.get(SIDES, DIVIDED) != DIVIDED})
    parts += [f"By the names of its files: {'; '.join(sides)}."] if sides else []
    parts.append("Bold: best, with an interval that excludes the second.")
    return " ".join(parts)


def _notes(comparisons: Comparisons, rows: Sequence[Point], cells: Cells) -> list[str]:
    varying, _ = varying_axes([p.cell for p in rows])
    every = [cells[m][p] for p in rows for m in cells]

    def name(point: Point) -> str:
        return name_of(point, varying)

    notes = [f"{name(p)}: {p.trouble()}" for p in rows if p.trouble()]
    notes += [f"{name(p)}: {note}" for p in rows for r in p.records for note in r.notes]
    unstable = {name(c.point): c.note for c in every if c.outcome == "unstable"}
    notes += [f"{who} is unstable: {why}" for who, why in unstable.items()]
    grid = comparisons.grid
    for control in grid.controls.values():
        ratio = grid.noise(control, TOTAL.name) if control.benchmark == rows[0].benchmark else None
        if ratio:
            notes.append(
                f"A/A: a second copy of {name(control)} took {show(ratio.map(math.exp))} times as long as the first."
            )
    notes += [f"{name(p)} {text}" for p in rows if (text := _moved(comparisons, p))]
    notes += [f"{name(c.point)}: {c.note}." for c in every if c.note.startswith(f"{c.metric.name} not reached")]
    settle: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for c in every:
        if c.outcome == "unresolved" and c.settle and (c.metric.unit != "s" or c.metric.name == TOTAL.name):
            settle[c.metric.name].append((name(c.point), c.settle))
    return [*notes, *remedies(settle)]


def _moved(comparisons: Comparisons, point: Point) -> str:
    """What is to be known of an interval whose launches are not independent."""
    reference = comparisons.grid.twin(point, comparisons.reference)
    found = moved(comparisons.grid.ratios(point, reference, TOTAL.name)) if reference else None
    if not found:
        return ""
    first, last = math.exp(found.first), math.exp(found.last)
    return (
        f"moved while it was measured: {TOTAL.name} was {first:.3g} times {comparisons.reference}'s in the first third "
        f"of the launches, {last:.3g} in the last. The interval is that of the mean of this session."
    )
