"""The report as Markdown, for a pull request or a page."""

from __future__ import annotations

import re

from polybench.document import Document, Table
from polybench.registry import formats


@formats.register("markdown", suffix=".md")
def markdown(document: Document) -> str:
    """Markdown for a pull request or a page."""
    parts = [f"# {_md(document.title)}", _md(document.description), ""]
    for finding in document.findings:
        mark = "" if finding.resolved else " (not resolved)"
        parts.append(f"- **{_md(finding.question)}**{mark}: {_md(finding.text)}")
    for table in document.tables:
        parts += ["", f"## {_md(table.title)}", "", _md(table.caption), "", *md_table(table), ""]
        parts += [f"- {_md(note)}" for note in table.notes]
    parts += ["", "## Environment", "", *(f"- {_md(k)}: {_md(v)}" for k, v in document.facts), ""]
    parts += [_md(n) for n in document.notes]
    return "\n".join(parts).strip() + "\n"


def _md(text: str) -> str:
    """Text that stays text: neither HTML, nor a link, nor the end of a field; a run may come from anybody."""
    plain = text.replace("|", "\\|").replace("\n", " ").replace("](", "]\\(")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", plain)


def md_table(table: Table) -> list[str]:
    """The lines of a Markdown table."""
    head = "| " + " | ".join(_md(c.title) for c in table.columns) + " |"
    rule = "|" + "|".join("---:" if c.numeric else "---" for c in table.columns) + "|"
    rows = [
        "| " + " | ".join(f"**{_md(e.shown)}**" if e.best else _md(e.shown) for e in row) + " |" for row in table.rows
    ]
    return [head, rule, *rows]
