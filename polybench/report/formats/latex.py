"""The report for a paper: a command a number and a command a table, so that no digit is copied by hand.

A file of commands typesets nothing by itself: a paper reads it in its preamble and puts the commands where it needs
them. Tables are made of the same commands. They need the packages booktabs and siunitx (version 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from polybench.document import Column, Document, Entry, Table
from polybench.registry import formats
from polybench.report.formats.tex import Key, names_of, plain, unit_of

_NUMBER = r"[+−-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_END = rf"(?:{_NUMBER}|[+−-]?∞)"
_ENTRY = re.compile(rf"(< )?({_NUMBER})(?: \[({_END}), ({_END})\])?( \[[^\]]*\])?")
_HEAD = r"""% In the preamble: \usepackage{booktabs}, \usepackage{siunitx} and \input of this file.
% A number is a command, with its unit; NAMELow and NAMEHigh are the ends of its interval.
\providecommand{\polybenchnumber}[1]{\num[retain-explicit-plus=true]{#1}}
\providecommand{\polybenchquantity}[2]{\qty[retain-explicit-plus=true]{#1}{#2}}"""
# In a table the header says the unit.
_BEGIN = r"\begingroup\renewcommand{\polybenchquantity}[2]{\polybenchnumber{##1}}\sisetup{text-series-to-math=true}%"


@dataclass(frozen=True)
class _Number:
    """What a field shows: a value, or that it lies below one, the ends of its interval, and what stands behind it."""

    below: bool
    value: str
    low: str
    high: str
    behind: str


@formats.register("latex", suffix=".tex", on_request=True)
def latex(document: Document) -> str:
    """Commands for a paper: every number with its interval, and every table with booktabs."""
    paper = document.title.partition("/")[0]
    keys = [key for table in document.tables for key in _keys(paper, table)]
    names = names_of(keys)
    parts = [_comment(document.title), _HEAD]
    parts += [_comment(f"{f.question}{'' if f.resolved else ' (not resolved)'}: {f.text}") for f in document.findings]
    for table in document.tables:
        parts += ["", *_commands(paper, table, names), *_whole(paper, table, names)]
    parts += ["", *map(_comment, document.notes), *(_comment(f"{key}: {value}") for key, value in document.facts)]
    return "\n".join(parts).rstrip() + "\n"


def _fields(paper: str, table: Table) -> Iterator[tuple[Key, Column, _Number]]:
    """Every number of a table with what it is called by: the paper, the table, the words of its row, its column."""
    seen: dict[Key, int] = {}
    for row in table.rows:
        words = tuple(e.text for c, e in zip(table.columns, row, strict=True) if not c.numeric)
        for column, entry in zip(table.columns, row, strict=True):
            if column.numeric and (number := _number(entry)):
                key = (paper, table.key, *words, column.name)
                seen[key] = seen.get(key, 0) + 1
                yield key if seen[key] == 1 else (*key, str(seen[key])), column, number


def _keys(paper: str, table: Table) -> Iterator[Key]:
    for key, _, number in _fields(paper, table):
        yield key
        if number.low:
            yield from ((*key, "Low"), (*key, "High"))
    yield from ((paper, table.key, part) for part in ("Table", "Caption", "Notes"))


def _commands(paper: str, table: Table, names: dict[Key, str]) -> Iterator[str]:
    for key, column, number in _fields(paper, table):
        below = r"\ensuremath{<}\," if number.below else ""
        yield _define(names[key], f"{below}{_quantity(number.value, column)}")
        if number.low:
            yield _define(names[(*key, "Low")], _quantity(number.low, column))
            yield _define(names[(*key, "High")], _quantity(number.high, column))


def _whole(paper: str, table: Table, names: dict[Key, str]) -> Iterator[str]:
    """The table, its caption and its notes, a command each."""
    fields = iter(_fields(paper, table))
    yield _define(names[paper, table.key, "Caption"], plain(f"{table.title}. {table.caption}".strip()))
    yield _define(names[paper, table.key, "Notes"], plain(" ".join(table.notes)))
    align = "".join("r" if c.numeric else "l" for c in table.columns)
    yield f"\\newcommand{{\\{names[paper, table.key, 'Table']}}}{{%"
    yield _BEGIN
    yield rf"\begin{{tabular}}{{{align}}}"
    yield r"\toprule"
    yield rf"{' & '.join(plain(c.title) for c in table.columns)} \\"
    yield r"\midrule"
    for row in table.rows:
        yield rf"{' & '.join(_shown(c, e, fields, names) for c, e in zip(table.columns, row, strict=True))} \\"
    yield r"\bottomrule"
    yield r"\end{tabular}\endgroup}"


def _shown(column: Column, entry: Entry, fields: Iterator[tuple[Key, Column, _Number]], names: dict[Key, str]) -> str:
    """A field of a table, its numbers by their commands."""
    if not (column.numeric and _number(entry)):
        text = plain(entry.text)
    else:
        key, _, number = next(fields)
        text = f"\\{names[key]}{{}} {plain(number.behind)}".rstrip()
        if number.low:
            text += f" [\\{names[(*key, 'Low')]}{{}}, \\{names[(*key, 'High')]}{{}}]"
    text = rf"\textbf{{{text}}}" if entry.best else text
    return f"{text} {plain(entry.outcome)}".strip()


def _number(entry: Entry) -> _Number | None:
    """Nothing of a field that is no number, such as one that says how a trial ended."""
    found = _ENTRY.fullmatch(entry.text)
    return _Number(bool(found[1]), *(part or "" for part in found.groups()[1:])) if found else None


def _quantity(number: str, column: Column) -> str:
    digits = number.replace("−", "-").replace(",", "")
    if digits.endswith("∞"):
        return rf"\ensuremath{{{digits[:-1]}\infty}}"
    unit = unit_of(column.unit)
    return rf"\polybenchquantity{{{digits}}}{{{unit}}}" if unit else rf"\polybenchnumber{{{digits}}}"


def _define(name: str, body: str) -> str:
    return rf"\newcommand{{\{name}}}{{{body}}}"


def _comment(text: str) -> str:
    return f"% {' '.join(text.split())}"
