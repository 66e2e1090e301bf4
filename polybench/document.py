"""What a report says, before it has a format: findings, tables and figures as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


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

    `x_low`, `x_high` are the interval across, used in pictures of one value against another.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    x_low: tuple[float, ...] = ()
    x_high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Figure:
    """Data of one picture. `bars` have their labels as categories; `pareto` has the best corner at low x, low y."""

    key: str
    kind: Literal["curves", "bars", "pareto"]
    title: str
    caption: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    baseline: float | None = None  # a line across, such as the reference's 1.00; in `pareto` also one upwards
    logarithmic: Literal["", "x", "both"] = ""  # axes of curves whose values are then above zero


@dataclass(frozen=True)
class Document:
    """The whole report of one run."""

    title: str
    description: str
    findings: tuple[Finding, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    facts: tuple[tuple[str, str], ...]  # environment and counts, (name, value)
    notes: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)  # what the JSON report adds
    picture: str = ""  # key of the figure that stands beside the findings
