"""What every table and picture shares: numbers with intervals, verdict words, heads of rows, captions."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from polybench.compare.comparison import Comparison, Outcome
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import PARAMETERS, Group, Point, of_seeds
from polybench.corrections import resolves
from polybench.document import ABSENT, Column, Entry
from polybench.metric import Metric, places_for, significant
from polybench.plan.tuning import WORDS
from polybench.record import Status
from polybench.spec import Scalar
from polybench.stats import Estimate
from polybench.trial import Cell

_OUTCOMES: dict[Outcome, str] = {"unresolved": "not resolved", "none": ""}
_OUTCOMES_OF_TIME: dict[Outcome, str] = {
    "better": "faster",
    "worse": "slower",
    "unresolved": "inconclusive",
    "none": "",
}
MINUS = "\u2212"
FEW_ROWS = 3  # more that need the same are not named one by one


def key_of(picture: str, what: str, group: Group, groups: Iterable[Group]) -> str:
    text = f"{picture} {what} {group[0]} {apart(group, groups)}"
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def title_of(text: str, group: Group, groups: Iterable[Group]) -> str:
    name = group[0] if any(benchmark != group[0] for benchmark, _ in groups) else ""
    where = ", ".join(filter(None, [name, apart(group, groups)]))
    return f"{text} ({where})" if where else text


def apart(group: Group, groups: Iterable[Group]) -> str:
    """What sets a group apart from the others of its benchmark: `block, d_model 128`."""
    differing = _differing(tuple(groups))[group[0]]
    told = {k: v for k, v in _fields(group[1]).items() if k in differing}
    words = {k: WORDS.get(v, v) if k == "lr" else v for k, v in told.items() if isinstance(v, str)}
    return ", ".join(words.get(k, f"{k} {v}") for k, v in told.items())


@lru_cache(maxsize=16)
def _differing(groups: tuple[Group, ...]) -> dict[str, set[str]]:
    """The fields that differ among the groups of each benchmark; a report asks once a picture."""
    rows: dict[str, list[dict[str, Scalar]]] = defaultdict(list)
    for benchmark, cell in groups:
        rows[benchmark].append(_fields(cell))
    names = {benchmark: {name for row in some for name in row} for benchmark, some in rows.items()}
    return {b: {n for n in names[b] if len({row.get(n) for row in some}) > 1} for b, some in rows.items()}


def _fields(cell: Cell) -> dict[str, Scalar]:
    return {**dict(cell.axes), "backend": cell.backend, "dtype": cell.dtype, "device": cell.device}


def held_constant(comparisons: Comparisons, group: Group, points: Iterable[Point]) -> str:
    """What all of a picture share: the axes that the suite names, how it ran, and the parameters where counted."""
    name, cell = group
    known = comparisons.whole.benchmark(name)
    chosen = known.matrix if known else dict(cell.axes)
    axes = [f"{k} {v}" for k, v in cell.axes if k in chosen]
    sizes = {int(v) for p in points for v in of_seeds(p, PARAMETERS)}
    if sizes:
        axes.append(f"{' to '.join(f'{n:,}' for n in sorted({min(sizes), max(sizes)}))} parameters")
    return f"Held constant: {', '.join([*axes, cell.backend, cell.dtype, cell.device])}"


def mean_over(counts: Sequence[int]) -> str:
    some = " to ".join(map(str, sorted({min(counts), max(counts)})))
    return f"Means over {some} seeds" if max(counts) > 1 else "One seed, so there is no interval"


def troubles(points: Iterable[Point]) -> str:
    """Which activations miss trials, and why: a mean over the survivors must be read as one."""
    told = [f"{p.cell.activation} ({p.trouble().splitlines()[0].rstrip('.')})" for p in points if p.trouble()]
    return f"Without the trials that failed: {', '.join(told)}" if told else ""


def sentences(*parts: str) -> str:
    return " ".join(f"{p.rstrip('.')}." for p in parts if p)


def p_entry(p: float | None) -> Entry:
    """A p value to two digits, nothing below a thousandth told apart."""
    if p is None or not math.isfinite(p):
        return Entry(ABSENT)
    return Entry("< 0.001" if p < 1e-3 else f"{p:.2g}" if p < 0.995 else "1", p)


def number(value: float) -> Entry:
    return Entry(significant(value, 2), value)


def varying_axes(cells: Sequence[Cell]) -> tuple[list[str], list[str]]:
    """(names that differ between the cells, `name value` of those that do not)."""
    names = ["backend", "dtype", *dict.fromkeys(a for c in cells for a, _ in c.axes)]
    varying = [n for n in names if len({field_of(c, n) for c in cells}) > 1]
    shared = [f"{n} {field_of(cells[0], n)}" for n in names if n not in varying]
    return varying, shared


def head_columns(varying: Sequence[str]) -> list[Column]:
    """How every row of a table of cells begins: the activation, and what else sets cells apart."""
    return [Column(name, numeric=False) for name in ("activation", *varying)]


def head_entries(cell: Cell, varying: Sequence[str]) -> list[Entry]:
    return [Entry(cell.activation), *(Entry(field_of(cell, axis)) for axis in varying)]


def field_of(cell: Cell, name: str) -> str:
    """A backend, dtype or axis of a cell as text; a dash for an axis that plays no part in it."""
    return str(getattr(cell, name) if name in ("backend", "dtype") else cell.get(name, ABSENT))


def status_word(point: Point) -> str:
    """The one word for a cell that has no value."""
    words = [r.status.words for r in point.records if r.status is not Status.OK]
    return words[0] if words else ABSENT


def verdict_word(p: float | None, better: bool) -> str:
    """Of a difference with its corrected p value."""
    return "not resolved" if not resolves(p) else "better" if better else "worse"


def worst_entry(point: Point, metric: Metric) -> Entry:
    """The largest value of the seeds to two digits, a count in full."""
    values = point.values(metric.name)
    if not values:
        return Entry(status_word(point))
    worst = max(values)
    return Entry(f"{int(worst):,}" if worst == int(worst) else f"{worst:.2g}", worst)


def change_entry(comparison: Comparison, reference: str) -> Entry:
    """The ratio or difference with its interval and what it means."""
    metric, change = comparison.metric, comparison.change
    if comparison.cell.activation == reference and comparison.value is not None:
        lost = comparison.point.diverged if metric.varies_with == "seed" and metric.better != "neither" else ""
        return Entry("1" if metric.effect == "ratio" else "0", outcome=lost)
    words = _OUTCOMES_OF_TIME if metric.unit == "s" else _OUTCOMES
    word = comparison.diverged or words.get(comparison.outcome, comparison.outcome)
    if change is None:  # as beside nothing, of which there is no ratio
        return Entry(ABSENT, outcome=word if comparison.diverged or comparison.outcome != "unresolved" else "")
    text = show(change, signed=metric.effect == "difference")
    return Entry(text, change.value, change.low, change.high, outcome=word)


def show(change: Estimate, signed: bool = False) -> str:
    """`1.31 [1.29, 1.34]`, rounded to what the interval supports; an exact ratio has no interval."""
    if change.low == change.high:
        return _exact(change.value, 0.0 if signed else 1.0, signed)
    if not change.known:
        return f"{_number(change.value, 2, signed)} [no interval, n {change.n}]"
    places = places_for(change.half_width)
    value, low, high = (_supported(x, places, signed) for x in (change.value, change.low, change.high))
    return f"{value} [{low}, {high}]"


def _supported(value: float, places: int, signed: bool) -> str:
    """A number of an interval; a ratio that would read as nothing, as the interval is wide, has two digits."""
    if not signed and value and not round(value, places):
        return significant(value, 2)
    return _number(value, places, signed)


def _exact(value: float, equal: float, signed: bool) -> str:
    """To three places, or as many as it takes to tell it from what stands for equal: no 1.000 is called worse.

    A ratio of thousands, and one below a hundredth, has four digits.
    """
    if not signed and value and not 0.01 <= abs(value) < 1000:
        return significant(value, 4)
    places = next((n for n in range(3, 9) if value == equal or round(value, n) != equal), 3)
    return _number(value, places, signed)


def _number(value: float, places: int, signed: bool) -> str:
    text = f"{value:+.{places}f}" if signed else f"{value:.{places}f}"
    return text.replace("-", MINUS)


def remedies(settle: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """What would settle each metric, of pairs (row, remedy); said once where rows or metrics share it."""
    said: dict[str, list[str]] = {}
    for metric, rows in settle.items():
        shared: dict[str, list[str]] = {}
        for row, remedy in rows:
            shared.setdefault(remedy, []).append(row)
        every = len(shared) == 1 and len(rows) > FEW_ROWS
        told = [f"{remedy} ({'each row' if every else '; '.join(who)})" for remedy, who in shared.items()]
        said.setdefault(", ".join(told), []).append(metric)
    return [
        f"{', '.join(metrics)} {'are' if len(metrics) > 1 else 'is'} not resolved; this would settle it: {told}."
        for told, metrics in said.items()
    ]


def name_of(point: Point, varying: Sequence[str] = ()) -> str:
    """An activation and what sets its cell apart: `relu (block, d_model 64), compile`."""
    axes = dict(point.cell.axes)
    told = [str(axes["level"])] if "level" in axes else []
    told += [f"{n} {axes[n]}" for n in varying if n in axes and n != "level"]
    level = f" ({', '.join(told)})" if told else ""
    backend = "" if point.cell.backend == "eager" else f", {point.cell.backend}"
    dtype = "" if point.cell.dtype == "float32" else f", {point.cell.dtype}"
    return f"{point.cell.activation}{level}{backend}{dtype}"
