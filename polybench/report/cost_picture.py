"""What an activation costs as one picture: its time against the bytes it keeps; and which picture says the answer."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Group, by_place
from polybench.document import Figure, Series
from polybench.measure.kinds.memory import SAVED
from polybench.measure.speed_metrics import TOTAL
from polybench.report import bands
from polybench.report.section import Section
from polybench.report.wording import held_constant, key_of, sentences, title_of, troubles
from polybench.stats import CONFIDENCE_TIME, Estimate
from polybench.trial import Cell

# Starts of keys, the most telling first: losses over sizes, loss against time, time against bytes, one of them alone.
_TELLING = ("scaling-val-loss", "front-time", "cost", "bars")
_ONE = Estimate(1.0, 1.0, 1.0, 0)  # the reference beside itself
_BLOCK = "level block"  # as captions say it


def beside_answer(figures: Sequence[Figure]) -> str:
    """The key of the picture that stands beside the findings, "" where none does.

    Of several of one sort it is the first; one of the block is preferred to one of the bare activation.
    """
    for start in _TELLING:
        some = [f for f in figures if f.key.startswith(start)]
        if some:
            return max(some, key=lambda f: _BLOCK in f.caption).key
    return ""


def section(comparisons: Comparisons) -> Section:
    """Time against bytes kept for backward, a picture a place where both were measured; without times bars of bytes."""
    times, sizes = (_by_group(comparisons, metric.name) for metric in (TOTAL, SAVED))
    works = {_work(group[1]): group for group in sizes}
    both = {group: works[work] for group in times if (work := _work(group[1])) in works}
    figures = []
    for group, other in both.items():
        pairs = [(t, sizes[other][name]) for name, t in times[group].items() if name in sizes[other]]
        if len(pairs) > 1:
            figures.append(_front(comparisons, group, list(both), pairs))
    if not times:
        plain = comparisons.grid.first_backend
        shown = {g: list(cells.values()) for g, cells in sizes.items() if g[1].backend == plain(g[0])}
        figures += [_bars(comparisons, group, list(shown), cells) for group, cells in shown.items()]
    return Section(figures=tuple(figures))


def _by_group(comparisons: Comparisons, metric: str) -> dict[Group, dict[str, Comparison]]:
    """The comparisons of each place that have a ratio to the reference, and the reference, by activation."""
    told = [
        c
        for c in comparisons.to_reference(metric).values()
        if c.change or (c.activation == comparisons.reference and c.value)
    ]
    return {group: {c.activation: c for c in cells} for group, cells in by_place(told).items() if len(cells) > 1}


def _work(cell: Cell) -> Hashable:
    """What two kinds that measured the same have in common: every axis but the threads, and how it ran."""
    return frozenset(pair for pair in cell.axes if pair[0] != "threads"), cell.backend, cell.device, cell.dtype


def _front(
    comparisons: Comparisons, group: Group, groups: Sequence[Group], pairs: Sequence[tuple[Comparison, Comparison]]
) -> Figure:
    reference = comparisons.reference
    return Figure(
        key=key_of("cost", "time bytes", group, groups),
        kind="pareto",
        title=title_of("Time against bytes kept", group, groups),
        caption=sentences(
            f"Time of forward and backward pass and bytes kept for backward, both over those of {reference}; "
            "further left and lower is better",
            f"Whiskers are {CONFIDENCE_TIME:.0%} intervals of block-wise ratios; bytes are exact",
            "The thin line joins the activations that no other beats in both",
            held_constant(comparisons, group, [t.point for t, _ in pairs]),
            troubles([t.point for t, _ in pairs]),
        ),
        x_label=f"Bytes kept / bytes of {reference}",
        y_label=f"Time / time of {reference}",
        series=tuple(_spot(time, size) for time, size in pairs),
        baseline=1.0,
    )


def _spot(time: Comparison, size: Comparison) -> Series:
    taken, kept = time.change or _ONE, size.change or _ONE
    return Series(time.cell.activation, (kept.value,), (taken.value,), *bands.ends(taken))


def _bars(comparisons: Comparisons, group: Group, groups: Sequence[Group], cells: Sequence[Comparison]) -> Figure:
    reference = comparisons.reference
    points = [c.point for c in cells]
    return Figure(
        key=key_of("bars", SAVED.name, group, groups),
        kind="bars",
        title=title_of("Bytes kept for backward", group, groups),
        caption=sentences(
            f"Bytes that forward keeps for backward over those of {reference}; shorter is less, and exact",
            held_constant(comparisons, group, points),
            troubles(points),
        ),
        x_label="",
        y_label=f"Bytes / bytes of {reference}",
        series=tuple(Series(c.cell.activation, (float(i),), ((c.change or _ONE).value,)) for i, c in enumerate(cells)),
        baseline=1.0,
    )
