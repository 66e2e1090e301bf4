"""What a report says, before it has a format: findings, tables and figures as frozen values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

ABSENT = "–"  # what a field shows that has nothing to show


@dataclass(frozen=True)
class Finding:
    """One sentence of the answer. `resolved` is False where the data do not decide."""

    question: str  # "At equal tokens"
    text: str  # "polynorm has the lowest held-out loss ..."
    resolved: bool


@dataclass(frozen=True)
class Entry:
    """One field of a table: what is shown and, where it is a number, the raw value in its SI unit."""

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False
    outcome: str = ""  # a verdict, such as better or not resolved, or nothing

    @property
    def shown(self) -> str:
        return f"{self.text} {self.outcome}".strip()


@dataclass(frozen=True)
class Column:
    """A header; `unit` is the one unit of all its entries."""

    name: str
    unit: str = ""
    note: str = ""  # the definition, for a tooltip or footnote
    numeric: bool = True

    @property
    def title(self) -> str:
        return f"{self.name}, {self.unit}" if self.unit else self.name


@dataclass(frozen=True)
class Table:
    """A table; what all of its rows share stands in the caption."""

    key: str  # file name and anchor: letters, digits and dashes
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()  # failed cells with their reason, and what the reader must know


@dataclass(frozen=True)
class Series:
    """One activation's line, band, bar or point; low and high are empty where there is no interval.

    `x_low`, `x_high` are the interval across, used in pictures of one value against another. What is `fitted`
    is a law and was not measured: its points have no markers and no ticks.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    x_low: tuple[float, ...] = ()
    x_high: tuple[float, ...] = ()
    fitted: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Mark:
    """A spot of a picture that is circled, and the number beside it."""

    x: float
    y: float
    text: str


Square = tuple[tuple[float, ...], ...]  # rows of numbers, NaN where there is none


@dataclass(frozen=True)
class Map:
    """A square of numbers, and the ends of its scale of colours, which pictures that are seen together share.

    Those that are `signed` are differences; low and high are empty where these have no interval.
    """

    label: str
    rows: Square
    scale: tuple[float, float]
    signed: bool = False
    low: Square = ()
    high: Square = ()


@dataclass(frozen=True)
class Figure:
    """Data of one picture. `bars` have their labels as categories; `pareto` has the best corner at low x, low y.

    `history` is small: its series run along sessions, of which `ticks` name some, and `marks` are what changed.
    `matrix` has `maps` in place of series, whose rows and columns count from 0.
    """

    key: str
    kind: Literal["curves", "bars", "pareto", "history", "matrix"]
    title: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...] = ()
    baseline: float | None = None  # a line across, such as the reference's 1.00; in `pareto` also one upwards
    logarithmic: Literal["", "x", "both"] = ""  # axes of curves whose values are then above zero
    ticks: tuple[tuple[float, str], ...] = ()  # places across, and what stands below them
    marks: tuple[Mark, ...] = ()
    maps: tuple[Map, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Whose lines, points or maps it shows."""
        return *(s.label for s in self.series), *(m.label for m in self.maps)


@dataclass(frozen=True)
class Reading:
    """What one cell gave for one metric, in its SI unit, for what keeps a history of numbers.

    `low` and `high` are the interval within this run, None of what is exact or has none. `better` is `lower`,
    `higher` or `neither`.
    """

    label: str
    metric: str
    unit: str
    better: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Values:
    """Measured values as rows, made as they are read, since a run may hold millions.

    It iterates over dictionaries, one a value. `alike` gives those that differ in `step` and `value` alone as one
    (what they share, steps, values); what is shared has every other of the `columns`, and its axes.
    """

    columns: tuple[str, ...]
    alike: Callable[[], Iterable[tuple[Mapping[str, Any], Sequence[Any], Sequence[Any]]]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for shared, steps, values in self.alike():
            for step, value in zip(steps, values, strict=True):
                yield {**shared, "step": step, "value": value}

    def of(self, run: str) -> Values:
        """The same with the run they are of as their first column."""
        return Values(("run", *self.columns), lambda: (({"run": run, **a}, b, c) for a, b, c in self.alike()))


def together(several: Sequence[Values]) -> Values:
    """The rows of one after those of the other, with the columns of all."""
    columns = tuple(dict.fromkeys(chain.from_iterable(one.columns for one in several)))
    return Values(columns, lambda: chain.from_iterable(one.alike() for one in several))


@dataclass(frozen=True)
class Document:
    """The whole report of one run."""

    title: str
    description: str
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()  # environment and counts, (name, value)
    notes: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)  # `values` as rows, their `columns` if no Values
    picture: str = ""  # key of the figure that stands beside the findings
    readings: tuple[Reading, ...] = ()  # every cell and metric as one value


def joined(documents: Sequence[Document]) -> Document:
    """Several reports as one: whatever belongs to a run is called by it, and each value has its run as a column.

    Runs that are called alike are numbered.
    """
    if len(documents) == 1:
        return documents[0]
    seen: Counter[str] = Counter()
    named: list[tuple[str, Document]] = []
    for one in documents:
        seen[one.title] += 1
        named.append((one.title if seen[one.title] == 1 else f"{one.title} ({seen[one.title]})", one))
    keys = {name: re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") for name, _ in named}
    return Document(
        title=", ".join(name for name, _ in named),
        description=" ".join(dict.fromkeys(d.description for d in documents if d.description)),
        findings=tuple(replace(f, question=f"{n}: {f.question}") for n, d in named for f in d.findings),
        tables=tuple(replace(t, key=f"{keys[n]}-{t.key}", title=f"{n}: {t.title}") for n, d in named for t in d.tables),
        figures=tuple(
            replace(f, key=f"{keys[n]}-{f.key}", title=f"{n}: {f.title}") for n, d in named for f in d.figures
        ),
        facts=tuple((f"{n}: {key}", value) for n, d in named for key, value in d.facts),
        notes=tuple(f"{n}: {note}" for n, d in named for note in d.notes),
        data={"values": together([d.data["values"].of(n) for n, d in named])},
        readings=tuple(replace(r, label=f"{n}: {r.label}") for n, d in named for r in d.readings),
    )
