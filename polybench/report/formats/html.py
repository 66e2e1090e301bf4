"""A report as one web page that needs no network: tables, inlined pictures and their data's origin."""

from __future__ import annotations

import re
from pathlib import Path

from polybench.document import Document
from polybench.registry import formats
from polybench.report.formats.draw import palette_of, svg

TEMPLATE = Path(__file__).with_name("report.html.j2")
# A sign before each outcome, so that a column can be scanned; the word stays, so that no one must learn the signs.
SIGNS = {
    "better": "✓", "faster": "✓", "worse": "✗", "slower": "✗", "same": "=", "unstable": "~", "unresolved": "?",
    "not resolved": "?", "inconclusive": "?",
}  # fmt: skip


@formats.register("html", suffix=".html")
def html(document: Document) -> str:
    """One self-contained web page, with figures; for a screen, a phone or paper."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    palette = palette_of(s.label for f in document.figures for s in f.series)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        document=document,
        # Safe, because svg() escapes whatever text a figure carries.
        pictures={f.key: Markup(svg(f, palette)) for f in document.figures},
        definitions=_definitions(document),
        anchor=_anchor,
        signs=SIGNS,
    )
    return page.strip() + "\n"


def _definitions(document: Document) -> dict[str, list[str]]:
    """The columns of each definition. `x over y's` goes without saying beside `x`."""
    found: dict[str, list[str]] = {}
    for column in sorted((c for t in document.tables for c in t.columns if c.note), key=lambda c: c.name.lower()):
        names = found.setdefault(column.note, [])
        if not any(column.name == name or column.name.startswith(f"{name} ") for name in names):
            names.append(column.name)
    return found


def _anchor(kind: str, name: str) -> str:
    """An id: a table and a figure of one benchmark have the same key, so the kind stands before it."""
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_-]+', '-', name)}"
