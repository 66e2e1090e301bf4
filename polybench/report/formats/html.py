"""A report as one web page that needs no network: the answer with its picture, tables, figures, and how it came to be.

The page is whole without script and without a mouse; on paper nothing is folded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from polybench.document import Document, Entry, Figure, Finding, Table
from polybench.registry import formats
from polybench.report.formats.draw import palette_of, svg
from polybench.report.formats.fitting import INTERVAL

if TYPE_CHECKING:
    from markupsafe import Markup

LONG = 12  # rows; a table of more shows its first ones until it is opened
MOST_PICTURES = 12  # that differ in one thing, such as the shape
# A sign before each outcome, so that a column can be scanned; the word stays, so that no one must learn the signs.
SIGNS = {
    "better": "✓", "faster": "✓", "worse": "✗", "slower": "✗", "same": "=", "unstable": "~", "unresolved": "?",
    "not resolved": "?", "inconclusive": "?",
}  # fmt: skip
_SENTENCE = re.compile(r"(?<=\.) (?=[A-Z])")


@formats.register("html", suffix=".html")
def html(document: Document) -> str:
    """One self-contained web page, with figures; for a screen, a phone or paper."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    files = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=files, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["whole"] = _whole
    palette = palette_of(s.label for f in document.figures for s in f.series)
    picture = next((f for f in document.figures if f.key == document.picture), None)
    families = list(_families([f for f in document.figures if f.key != document.picture]))
    drawn = [*([picture] if picture else []), *(f for _, _, members in families for f, _, _ in members)]
    page = environment.get_template("report.html.j2").render(
        document=document,
        answers=[(question, list(found)) for question, found in groupby(document.findings, _question)],
        picture=picture,
        families=families,
        # Safe, because svg() escapes whatever text a figure carries.
        pictures={f.key: Markup(svg(f, palette)) for f in drawn},
        definitions=_definitions(document),
        anchor=_anchor,
        apart=_apart,
        signs=SIGNS,
        long=LONG,
    )
    return page.strip() + "\n"


def _question(finding: Finding) -> str:
    return finding.question


def _whole(text: str) -> Markup:
    """Text in which a number and its interval are never broken over two lines."""
    from markupsafe import Markup, escape

    return Markup(INTERVAL.sub(r'<span class="whole">\g<0></span>', str(escape(text))))


def _definitions(document: Document) -> dict[str, list[str]]:
    """The columns of each definition. `x over y's` goes without saying beside `x`."""
    found: dict[str, list[str]] = {}
    for column in sorted((c for t in document.tables for c in t.columns if c.note), key=lambda c: c.name.lower()):
        names = found.setdefault(column.note, [])
        if not any(column.name == name or column.name.startswith(f"{name} ") for name in names):
            names.append(column.name)
    return found


Pictured = tuple[Figure, str, str]  # a figure, its title and its caption where what it shares with its family is told
Family = tuple[str, str, list[Pictured]]  # the title and the caption that several pictures share


def _families(figures: Sequence[Figure]) -> Iterator[Family]:
    """Neighbours whose titles differ only in what is in brackets at the end: what they share is said once.

    Nobody looks at hundreds of them, which would take minutes to draw.
    """
    for head, neighbours in groupby(figures, lambda f: f.title.partition(" (")[0]):
        members = list(neighbours)
        if len(members) == 1:
            yield members[0].title, members[0].caption, [(members[0], "", "")]
            continue
        captions = [_SENTENCE.split(f.caption) for f in members]
        shared = [s for s in captions[0] if all(s in own for own in captions)]
        titles = [f.title.removeprefix(head).strip(" ()") or f.title for f in members]
        own = [" ".join(s for s in caption if s not in shared) for caption in captions]
        left = len(members) - MOST_PICTURES
        more = [f"{left} more are not drawn; the tables have their numbers."] if left > 0 else []
        yield head, " ".join([*shared, *more]), list(zip(members, titles, own, strict=True))[:MOST_PICTURES]


def _apart(table: Table, row: Sequence[Entry], before: Sequence[Entry]) -> bool:
    """Whether a row belongs to another cell than the one before it: words beside its name differ, before any number."""
    words = [*takewhile(lambda i: not table.columns[i].numeric, range(len(table.columns)))][1:]
    return any(row[i].text != before[i].text for i in words)


def _anchor(kind: str, name: str) -> str:
    """An id: a table and a figure of one benchmark have the same key, so the kind stands before it."""
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}"
