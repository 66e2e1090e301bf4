"""A table laid out as lines of a screen: in parts that fit its width, broken between words only."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from polybench.document import Entry, Table

_GAP = 2  # spaces between columns
_GLUE = "\u00a0"  # a space at which no line ends
INTERVAL = re.compile(r"(?:[+−]?[\d.]+ )?\[[+−\d.,∞ ]+\]")  # with the number before it
_WORD = 14  # a longer word of a header may be broken behind its underscores


@dataclass(frozen=True)
class Span:
    """A piece of a line."""

    text: str
    bold: bool = False


Line = list[Span]


def lines(table: Table, width: int | None) -> Iterator[Line]:
    """The table in parts, each beginning with the columns that name the row, an empty line after each.

    No line is wider than `width` (None: no limit) unless one word is; where the names of a row leave no room for a
    value beside them, each value gets a line of its own.
    """
    room = sys.maxsize if width is None else width
    parts = fitting(table, room)
    if any(_across([_least(table, i) for i in part]) > room for part in parts):
        yield from _listed(table, room)
        yield []
        return
    for part in parts:
        sizes = [_size(table, i, len(table.columns[i].title)) for i in part]
        yield from _gridded(table, part, sizes if _across(sizes) <= room else [_least(table, i) for i in part])
        yield []


def fitting(table: Table, width: int) -> list[list[int]]:
    """Columns in groups that fit the width, each beginning with the columns that name the row."""
    names = [i for i, column in enumerate(table.columns) if not column.numeric]
    groups: list[list[int]] = []
    room = 0
    for i in (i for i, column in enumerate(table.columns) if column.numeric):
        wide = _GAP + _least(table, i)
        if not groups or wide > room:
            groups.append([*names])
            room = width - _across([_least(table, i) for i in names])
        groups[-1].append(i)
        room -= wide
    return groups or [names]


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of whole words, a number and its interval being one; all but the first begin with `indent`."""
    glued = INTERVAL.sub(lambda found: found[0].replace(" ", _GLUE), text)
    parts = textwrap.wrap(glued, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [part.replace(_GLUE, " ") for part in parts]


def _gridded(table: Table, part: list[int], sizes: list[int]) -> Iterator[Line]:
    right = [table.columns[i].numeric for i in part]

    def line(texts: list[str], bold: list[bool]) -> Line:
        padded = [t.rjust(n) if r else t.ljust(n) for t, n, r in zip(texts, sizes, right, strict=True)]
        gaps = [*[" " * _GAP] * (len(part) - 1), ""]
        return [s for t, b, gap in zip(padded, bold, gaps, strict=True) for s in (Span(t, b), Span(gap))]

    headers = [_heading(table.columns[i].title, size) for i, size in zip(part, sizes, strict=True)]
    for row in reversed(list(zip_longest(*(reversed(h) for h in headers), fillvalue=""))):
        yield line(list(row), [True] * len(part))
    for entries in ([row[i] for i in part] for row in table.rows):
        yield line([e.shown for e in entries], [e.best for e in entries])


def _listed(table: Table, width: int) -> Iterator[Line]:
    """A paragraph a row: what names it, and a line for each value."""
    for row in table.rows:
        cells = list(zip(table.columns, row, strict=True))
        first, *names = [(c.name, e.shown) for c, e in cells if not c.numeric] or [("", "")]
        head = ", ".join([first[1], *(f"{name} {shown}" for name, shown in names)])
        yield from ([Span(line, True)] for line in wrapped(head, width, "  "))
        for column, entry in cells:
            if column.numeric:
                value = f"  {column.title}: {entry.shown}"
                yield from ([Span(line, entry.best)] for line in wrapped(value, width, "    "))


def _across(sizes: list[int]) -> int:
    return sum(sizes) + _GAP * (len(sizes) - 1)


def _least(table: Table, i: int) -> int:
    """The width that a column needs, its header wrapped."""
    return _size(table, i, max(map(len, (p for w in table.columns[i].title.split() for p in _pieces(w))), default=0))


def _size(table: Table, i: int, header: int) -> int:
    entries: Iterator[Entry] = (row[i] for row in table.rows)
    return max([header, *(len(e.shown) for e in entries)])


def _heading(title: str, width: int) -> list[str]:
    """The lines of a header, as few as its words fill."""
    found: list[str] = []
    for word in title.split():
        for k, piece in enumerate([word] if len(word) <= width else _pieces(word)):
            glued = f"{found[-1]}{'' if k else ' '}{piece}" if found else piece
            if found and len(glued) <= width:
                found[-1] = glued
            else:
                found.append(piece)
    return found


def _pieces(word: str) -> list[str]:
    return re.split(r"(?<=_)(?=.)", word) if len(word) > _WORD else [word]
