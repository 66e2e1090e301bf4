"""What a selfcheck found: whether verdicts can be trusted, and tables of every rule, of levels and of cells."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.detectors import DETECTORS, EQUAL, OURS, Copies, log_ratios
from polybench.compare.selfcheck import KIND, Judged, conclusion, judged, share
from polybench.document import ABSENT, Column, Entry, Finding, Table
from polybench.metric import scale_for, significant
from polybench.report.section import Section
from polybench.stats import clopper_pearson
from polybench.trial import Cell

QUESTION = "Can verdicts on times be trusted here"
_NAMES = [d.name for d in DETECTORS]


def section(comparisons: Comparisons) -> Section:
    """Cells of a selfcheck are not compared activation by activation, so theirs are other tables."""
    run = comparisons.stored
    found = judged(run) if any(b.kind == KIND for b in run.suite.benchmarks) else []
    if not found:
        return Section()
    trusted, reason = conclusion(found)
    told = Finding(QUESTION, f"{'yes' if trusted else 'no'}: {reason}.", resolved=trusted)
    several = len({j.level for j in found}) > 1
    return Section(findings=(told,), tables=(_rules(found), *([_levels(found)] if several else []), _cells(found)))


def _rules(found: Sequence[Judged]) -> Table:
    """False alarms and power of every rule."""
    factors = _factors(found)
    rows = []
    for name in _NAMES:
        used = [r.launches for j in found for r in j.rulings[name].values()]
        seconds = [sum(j.copies.seconds[: r.launches]) for j in found for r in j.rulings[name].values()]
        entries = [_share(found, name, factor) for factor in factors]
        numbers = [_number(statistics.fmean(used)), _number(statistics.fmean(seconds))]
        rows.append((Entry(name), *entries, *numbers))
    launches = "Launches a rule took on average until its verdict; those that cannot stop took all."
    return Table(
        key=KIND,
        title="Verdicts on equal and on slowed code",
        caption=f"{len(found)} cells, {_sizes(j.copies for j in found)}. Every rule saw the same samples, taken in "
        f"turns. The share of {_counts(found)} in which it called a copy different, with exact (Clopper-Pearson) 95 % "
        "bounds, one-sided where none or all are.",
        columns=(
            Column("rule", numeric=False),
            *map(_flagged, factors),
            Column("launches", note=launches),
            Column("machine", "s", note="Of those launches of a cell, with their start."),
        ),
        rows=tuple(rows),
        notes=_notes(found),
    )


def _levels(found: Sequence[Judged]) -> Table:
    """The same by level."""
    groups: dict[str, list[Judged]] = defaultdict(list)
    for j in found:
        groups[j.level].append(j)
    factors = _factors(found)
    rows = [
        (Entry(f"{level}, {len(group)} cells"), Entry(name), *(_share(group, name, factor) for factor in factors))
        for level, group in groups.items()
        for name in _NAMES
    ]
    columns = (Column("level", numeric=False), Column("rule", numeric=False), *map(_flagged, factors))
    caption = "The same apart: an activation alone, in its feed-forward block, in a whole decoder."
    return Table(f"{KIND}-levels", "Verdicts by level", caption, columns, tuple(rows))


def _cells(found: Sequence[Judged]) -> Table:
    """Which cells were judged, and how evenly each was timed."""
    shapes: dict[Cell, list[Judged]] = defaultdict(list)
    for j in found:
        shapes[_shape(j.copies.cell)].append(j)
    scale = scale_for("s", (_typical(j.copies) for j in found))
    rows = []
    for shape, group in shapes.items():
        axes = dict(shape.axes)
        within, apart = _spreads([j.copies for j in group])
        used = statistics.fmean(r.launches for j in group for r in j.rulings[OURS].values())
        names = dict.fromkeys(j.copies.cell.activation for j in group)
        typical = statistics.median(_typical(j.copies) for j in group)
        rows.append(
            (
                Entry(group[0].level), Entry(str(axes["tokens"])), Entry(str(axes["d_model"])), Entry(shape.backend),
                Entry(", ".join(names)), Entry(str(len(group)), len(group)), Entry(scale.show(typical, 3), typical),
                _percent(within), _percent(apart), _number(used),
            )
        )  # fmt: skip
    return Table(
        key=f"{KIND}-cells",
        title="Cells that were judged",
        caption="Medians over the cells of a row.",
        columns=(
            *(Column(name, numeric=False) for name in ("level", "tokens", "d_model", "backend", "activations")),
            Column("cells"),
            Column("a call", scale.unit, "Forward and backward of the first copy."),
            Column("sd in a launch", note="Of the ratio of two equal copies, block by block."),
            Column("sd between launches", note="Of the medians of launches of that ratio."),
            Column("our launches", note=f"That {OURS} took on average until its verdict."),
        ),
        rows=tuple(rows),
    )


def _shape(cell: Cell) -> Cell:
    """What cells of one row share: all but the activation, the slowdown and the number among equal ones."""
    axes = tuple((name, value) for name, value in cell.axes if name not in ("slowdown", "repeat"))
    return Cell(cell.kind, cell.version, "", cell.backend, cell.device, cell.dtype, axes)


def _factors(found: Iterable[Judged]) -> list[float]:
    return sorted({factor for j in found for factor in j.copies.others})


def _flagged(factor: float) -> Column:
    if factor == EQUAL:
        return Column("false alarms", "%", note="Another copy of the same code was called different.")
    return Column(f"x{factor:.2f}", "%", note=f"A copy that takes {factor:g} times as long was called different.")


def _share(found: Iterable[Judged], rule: str, factor: float) -> Entry:
    hits, trials = share(found, rule, factor)
    low, high = clopper_pearson(hits, trials)
    if not trials:
        return Entry(ABSENT)
    value = hits / trials
    return Entry(f"{_hundred(value)} [{_hundred(low)}, {_hundred(high)}]", value, low, high)


def _hundred(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def _counts(found: Sequence[Judged]) -> str:
    """How many cells each share is of."""
    slowed = {sum(f in j.copies.others for j in found) for f in _factors(found) if f != EQUAL}
    if slowed == {len(found)}:
        return f"the {len(found)} cells"
    least_most = " to ".join(map(str, sorted({min(slowed), max(slowed)})))
    return f"{len(found)} cells with equal code, and of {least_most} at each slowdown,"


def _sizes(copies: Iterable[Copies]) -> str:
    every = list(copies)
    launches = sorted({len(c.base) for c in every})
    blocks = sorted({len(v) for c in every for v in c.base})
    ends = [" to ".join(map(str, sorted({v[0], v[-1]}))) if v else "no" for v in (launches, blocks)]
    return f"{ends[0]} launches of {ends[1]} blocks"


def _notes(found: Sequence[Judged]) -> tuple[str, ...]:
    """What our rule says where it flags nothing, what the copies really took, and what a flag is worth."""
    counts = Counter(j.rulings[OURS][EQUAL].outcome for j in found)
    told = ", ".join(f"{counts[word]} {word}" for word in ("same", "inconclusive", "unstable", "faster", "slower"))
    took = ", ".join(f"{_took(found, factor):.3f}" for factor in _factors(found))
    within, apart = _spreads([j.copies for j in found])
    return (
        f"Verdicts of {OURS} on equal code: {told}.",
        "A rule that asks for a margin claims too much where it flags a slowdown within it; one without a margin does "
        "not say how large a difference is.",
        f"The copies really took {took} times as long as the first (median over cells).",
        f"Two equal copies, block by block: standard deviation {within:.2%}; between launches {apart:.2%} (medians).",
    )


def _took(found: Sequence[Judged], factor: float) -> float:
    """What the copy of that factor took over the first one: the median over cells."""
    medians = (
        statistics.median(x for launch in log_ratios(j.copies.base, j.copies.others[factor]) for x in launch)
        for j in found
        if factor in j.copies.others
    )
    return math.exp(statistics.median(medians))


def _spreads(copies: Sequence[Copies]) -> tuple[float, float]:
    """Standard deviations of equal code's log-ratio, inside launches and of their medians: medians over cells."""

    def ratios() -> Iterator[list[list[float]]]:
        return (log_ratios(c.base, c.others[EQUAL]) for c in copies)

    within = [statistics.stdev(launch) for of in ratios() for launch in of if len(launch) > 1]
    apart = [statistics.stdev(map(statistics.median, of)) for of in ratios() if len(of) > 1]
    return (statistics.median(within) if within else math.nan, statistics.median(apart) if apart else math.nan)


def _typical(copies: Copies) -> float:
    return statistics.median(v for launch in copies.base for v in launch)


def _number(value: float) -> Entry:
    return Entry(significant(value, 2 if value < 100 else 3), value)


def _percent(value: float) -> Entry:
    return Entry(f"{value:.2%}", value) if math.isfinite(value) else Entry(ABSENT)
