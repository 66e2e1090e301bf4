"""The report as text: for a terminal of any width, or whole where it is piped."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from polybench.document import Document, Table
from polybench.registry import formats
from polybench.report.formats.fitting import Line, Span, lines, wrapped

FIRST = "overview"  # the key of the table that is shown first
_MOST_ROWS = 20  # of a table that stands in for it
_MOST_LINES = 6  # of a list of troubles


@formats.register("terminal", suffix=".txt")
def terminal(document: Document) -> str:
    """Coloured tables for a terminal, wrapped at words; plain and never cut when piped."""
    from rich.console import Console
    from rich.control import strip_control_codes
    from rich.text import Text

    if not sys.stdout.isatty():
        whole = ("".join(span.text for span in line).rstrip() for line in page(document, None))
        return strip_control_codes("".join(f"{line}\n" for line in whole))
    out = io.StringIO()
    coloured = not os.environ.get("NO_COLOR")
    width = shutil.get_terminal_size().columns  # rich would take COLUMNS=0 at its word
    console = Console(file=out, width=width, force_terminal=True if coloured else None, highlight=False)
    for line in page(document, width):
        text = Text.assemble(*((span.text, "bold" if span.bold else "") for span in line))
        text.rstrip()
        console.print(text, soft_wrap=True)
    return out.getvalue()


def page(document: Document, width: int | None) -> Iterator[Line]:
    """The lines of a document; none is wider than `width` (None: no limit) unless one word is."""
    yield from _paragraph(document.title, f"  {document.description}", width)
    yield []
    for finding in document.findings:
        mark = "" if finding.resolved else " [not resolved]"
        yield from _paragraph(finding.question, f"{mark}: {finding.text}", width, indent="  ")
    for table in document.tables:
        yield []
        yield from _paragraph(table.title, f"  {table.caption}", width)
        yield from lines(table, width)
        for note in table.notes:
            yield from _paragraph("", f"  {note}", width, indent="    ")
    for note in document.notes:
        yield []
        yield from _paragraph("", note, width)


def brief(document: Document, troubles: Sequence[str], more: str) -> Document:
    """The answer, the first table, and what to know of the rest: what failed or is unstable, and how to see it.

    `troubles` say what failed; `more` says, with {rest} in it, how to see the other tables.
    """
    shown = tuple(t for t in document.tables if t.key == FIRST)
    shown = shown or tuple(t for t in document.tables[:1] if len(t.rows) <= _MOST_ROWS)
    left = len(document.tables) - len(shown)
    rest = f"{left} more table{'s' * (left > 1)}"
    told = (listed("Did not end well", troubles), listed("Unstable", dict.fromkeys(_unstable(document.tables))))
    notes = (*document.notes, *filter(None, told), *([more.format(rest=rest)] if left else []))
    return replace(document, tables=shown, notes=notes)


def listed(title: str, items: Iterable[str]) -> str:
    """A title with an item a line, the first few of them; nothing without any."""
    found = list(items)
    left = [f"and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
    return "\n".join([f"{title}:", *(f"  {item}" for item in [*found[:_MOST_LINES], *left])]) if found else ""


def _unstable(tables: Iterable[Table]) -> Iterator[str]:
    """Rows with a value that varies too much to be judged, as `table: names of the row: columns`."""
    for table in tables:
        for row in table.rows if table.key != FIRST else ():
            cells = list(zip(table.columns, row, strict=True))
            if shaky := [c.name for c, entry in cells if entry.outcome == "unstable"]:
                names = " ".join(entry.shown for c, entry in cells if not c.numeric)
                yield f"{table.key}: {names}: {', '.join(shaky)}"


def _paragraph(head: str, rest: str, width: int | None, indent: str = "") -> Iterator[Line]:
    """Lines of words, the head of the first in bold; a line break in the text stays one."""
    if width is None:
        yield [Span(head, True), Span(rest)]
        return
    for i, text in enumerate(f"{head}{rest}".split("\n")):
        margin = indent or " " * (2 * (len(text) - len(text.lstrip())))
        for k, line in enumerate(wrapped(text, width, margin)):
            bold = len(head) if i == k == 0 else 0
            yield [Span(line[:bold], True), Span(line[bold:])]
