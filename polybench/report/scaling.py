"""The tables and the picture of model size: loss, exponent and advantage of every activation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import PARAMETERS, Point, of_seeds
from polybench.compare.scaling import LOSS, Family, Ladder, exponent, ladders, lost_at, lost_beside, trends
from polybench.compare.seeds import p_over_looks
from polybench.compare.speed_up import flops, reference
from polybench.corrections import holm_of
from polybench.document import ABSENT, Column, Entry, Figure, Series, Table
from polybench.report import bands
from polybench.report.law import line
from polybench.report.section import Section
from polybench.report.wording import (
    MINUS,
    change_entry,
    held_constant,
    key_of,
    p_entry,
    sentences,
    show,
    title_of,
    troubles,
    varying_axes,
    verdict_word,
)
from polybench.stats import ALPHA, CONFIDENCE_SEED, paired

Families = Mapping[Family, Sequence[Ladder]]


def section(comparisons: Comparisons) -> Section:
    """Two tables and a picture a family: every size, and what follows from all of them."""
    families = ladders(comparisons.points(), comparisons.reference)
    tables = [table for family in families for table in _tables(comparisons, family, families)]
    return Section(tables=tuple(tables), figures=tuple(_figure(comparisons, family, families) for family in families))


def _tables(comparisons: Comparisons, family: Family, families: Families) -> Iterator[Table]:
    steps, reference = families[family], comparisons.reference
    beside, metric = comparisons.to_reference(LOSS), comparisons.run.metrics[family[1].kind][LOSS]
    _, shared = varying_axes([p.cell for x in steps for p in x.rungs])
    own = next(x for x in steps if x.activation == reference)
    sized = [pair for x in steps for pair in _sized(x, steps)]
    twins = {p.cell.place: p for p in (*own.rungs, *own.broken)}
    yield Table(
        key=key_of("table", "sizes", family, families),
        title=title_of("Loss against parameters", family, families),
        caption=f"On {', '.join([comparisons.run.device, *shared])}. Mean {LOSS} over seeds with "
        f"{CONFIDENCE_SEED:.0%} t intervals, and what it is above or below {reference}'s at the same size, paired by "
        "seed and judged as in the tables by seed.",
        columns=(
            Column("activation", numeric=False), Column("parameters"), Column(LOSS, metric.unit, metric.definition),
            Column("n"), Column(f"less {reference}'s", metric.unit),
        ),
        rows=tuple(_row(p, size, beside[p], twins.get(p.cell.place, p), reference) for p, size in sized),
        notes=tuple(f"{p.cell.activation}, {size.text} parameters: {p.trouble() or lost_at(p)}" for p, size in sized
                    if p.trouble() or lost_at(p)),
    )  # fmt: skip
    slopes = {x.activation: trends(x, own) for x in steps if x is not own}
    looks, gone = comparisons.grid.looks(family[0]), {x.activation: _lost(x, own) for x in steps}
    ps = holm_of({
        name: 1.0 if gone[name] else p_over_looks(values, looks) for name, values in slopes.items() if len(values) > 1
    })  # fmt: skip
    yield Table(
        key=key_of("table", "exponents", family, families),
        title=title_of("How loss falls with parameters", family, families),
        caption=f"loss = c N^{MINUS}a: a from least squares of log mean loss on log parameters, its "
        f"{CONFIDENCE_SEED:.0%} t interval from how far the sizes lie from that line, which has no irreducible loss. "
        f"Trend: by how much the difference from {reference} grows with every tenfold of parameters (negative: to the "
        "good of the activation), a line a seed, t interval over the seeds; it is told from 0 where its p is at most "
        f"{ALPHA:.0%} after Holm over the activations.",
        columns=(
            Column("activation", numeric=False), Column("sizes"), Column("exponent a"),
            Column("trend of the difference", f"{metric.unit} a tenfold"), Column("t p (Holm)"), Column("n"),
        ),
        rows=tuple(
            (Entry(x.activation), Entry(str(len(x.rungs))), _exponent(x),
             *_trend(slopes.get(x.activation), p, gone[x.activation]))
            for x in steps for p in [ps.get(x.activation)]
        ),
    )  # fmt: skip


def _sized(ladder: Ladder, steps: Sequence[Ladder]) -> list[tuple[Point, Entry]]:
    """Every point with its parameters; about as many as another activation has there where nobody counted them."""
    there = {p.cell.place: size for x in steps for size, p in zip(x.sizes, x.rungs, strict=True)}
    found = []
    for point in (*ladder.rungs, *ladder.broken):
        counted = of_seeds(point, PARAMETERS)
        size = max(counted, default=there[point.cell.place])
        text = f"{size:,.0f}" if counted else f"about {size:,.0f}"
        found.append((size, point, Entry(text, size if counted else None)))
    return [(point, entry) for _, point, entry in sorted(found, key=lambda each: each[0])]


def _row(point: Point, size: Entry, comparison: Comparison, twin: Point, reference: str) -> tuple[Entry, ...]:
    values, loss = of_seeds(point, LOSS), Entry(ABSENT)
    if values:
        mean = paired(values)
        loss = Entry(show(mean), mean.value, mean.low, mean.high)
    change, gone = change_entry(comparison, reference), lost_beside(point, twin)
    change = replace(change, outcome=gone) if gone else change
    return Entry(point.cell.activation), size, loss, Entry(str(len(values))), change


def _exponent(ladder: Ladder) -> Entry:
    if len(ladder.rungs) < 2:
        return Entry(ABSENT)
    slope = exponent(ladder.sizes, [fmean(of_seeds(p, LOSS)) for p in ladder.rungs])
    return Entry(show(slope), slope.value, slope.low, slope.high)


def _lost(ladder: Ladder, reference: Ladder) -> str:
    """What was lost at any size, of the activation or else of the reference."""
    return ladder.lost or (f"{reference.activation}: {reference.lost}" if reference.lost else "")


def _trend(slopes: Mapping[int, float] | None, p: float | None, gone: str) -> tuple[Entry, Entry, Entry]:
    """The trend with its interval and verdict, its p, and the seeds it rests on; nothing for the reference."""
    if slopes is None:
        return Entry("0"), Entry("–"), Entry("–")
    if not slopes:
        return Entry("–", outcome=gone), Entry("–"), Entry("0")
    trend = paired(list(slopes.values()))
    word = gone or verdict_word(p, better=trend.value < 0)
    shown = Entry(show(trend, True), trend.value, trend.low, trend.high, outcome=word)
    return shown, p_entry(None if gone else p), Entry(str(trend.n))


def _figure(comparisons: Comparisons, family: Family, families: Families) -> Figure:
    """Loss against training FLOPs with the reference's law, else against parameters; a line an activation."""
    own = next(x for x in families[family] if x.activation == comparisons.reference)
    known, counted = reference(own, flops), all(flops(p) < math.inf for x in families[family] for p in x.rungs)
    stands = known is not None and counted and not known.trouble
    members = [p for x in families[family] for p in x.rungs]
    counts = [len(of_seeds(p, LOSS)) for p in members]
    metric = comparisons.run.metrics[family[1].kind][LOSS]
    return Figure(
        key=key_of("scaling", LOSS, family, families),
        kind="curves",
        title=title_of(f"Loss against {'training FLOPs' if stands else 'parameters'}", family, families),
        caption=sentences(
            metric.definition,
            f"The line without markers is {own.activation}'s law over its sizes" if stands else "",
            bands.told(counts, min(counts) > 1),
            held_constant(comparisons, family, ()),
            troubles(members),
            _endless(members),
        ),
        x_label="Training FLOPs" if stands else "Trained parameters",
        y_label=f"{metric.heading}, {metric.unit}",
        series=(
            *(_line(x, bands.few(counts), list(map(flops, x.rungs)) if stands else x.sizes) for x in families[family]),
            *([line(own.activation, known, bands.few(counts))] if known and stands else []),
        ),
        logarithmic="x",
    )


def _endless(points: Iterable[Point]) -> str:
    """Which activations miss losses of trainings that ended well."""
    told = [f"{p.cell.activation} ({lost_at(p)})" for p in points if lost_at(p) and not p.trouble()]
    return f"Without losses that are not finite: {', '.join(told)}" if told else ""


def _line(ladder: Ladder, few: bool, across: Sequence[float]) -> Series:
    losses = {x: of_seeds(p, LOSS) for x, p in zip(across, ladder.rungs, strict=True)}
    return bands.line(ladder.activation, losses, few, all(len(v) > 1 for v in losses.values()))
