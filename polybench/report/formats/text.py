"""Reports as text: for a terminal, for Markdown pages, for spreadsheets and for programs."""

from __future__ import annotations

import csv as csv_module
import io
import json as json_module
import os
import sys
from dataclasses import asdict
from typing import Any

from polybench.document import Document, Entry, Table
from polybench.registry import formats

_GAP = 2  # spaces between columns
_WIDE = 10_000  # a piped table is never cut


@formats.register("terminal", suffix=".txt")
def terminal(document: Document) -> str:
    """Coloured tables for a terminal; plain and never cut when piped."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as RichTable

    out = io.StringIO()
    on_screen = sys.stdout.isatty()
    console = Console(
        file=out,
        force_terminal=True if on_screen and not os.environ.get("NO_COLOR") else None,
        width=None if on_screen else _WIDE,
        highlight=False,
    )
    console.print(f"[bold]{escape(document.title)}[/bold]  {escape(document.description)}\n", soft_wrap=True)
    for finding in document.findings:
        mark = "" if finding.resolved else " [not resolved]"
        console.print(f"[bold]{escape(finding.question)}[/bold]{escape(mark)}: {escape(finding.text)}", soft_wrap=True)
    for table in document.tables:
        console.print(f"\n[bold]{escape(table.title)}[/bold]  {escape(table.caption)}", soft_wrap=True)
        for part in fitting(table, console.width):
            grid = RichTable(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
            for i in part:
                column = table.columns[i]
                grid.add_column(escape(column.title), justify="right" if column.numeric else "left", overflow="fold")
            for row in table.rows:
                shown = ((row[i].best, escape(_shown(row[i]))) for i in part)
                grid.add_row(*(f"[bold]{text}[/bold]" if best else text for best, text in shown))
            console.print(grid, soft_wrap=False)
            console.print()
        for note in table.notes:
            console.print(f"  {escape(note)}", soft_wrap=True)
    for note in document.notes:
        console.print(f"\n{escape(note)}", soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


@formats.register("markdown", suffix=".md")
def markdown(document: Document) -> str:
    """Markdown for a pull request or a page."""
    parts = [f"# {document.title}", document.description, ""]
    for finding in document.findings:
        mark = "" if finding.resolved else " (not resolved)"
        parts.append(f"- **{finding.question}**{mark}: {_md(finding.text)}")
    for table in document.tables:
        parts += ["", f"## {table.title}", "", _md(table.caption), "", *md_table(table), ""]
        parts += [f"- {_md(note)}" for note in table.notes]
    parts += ["", "## Environment", "", *(f"- {k}: {_md(v)}" for k, v in document.facts), ""]
    parts += [_md(n) for n in document.notes]
    return "\n".join(parts).strip() + "\n"


@formats.register("csv", suffix=".csv")
def csv(document: Document) -> str:
    """Every measured value, one row each."""
    values: list[dict[str, Any]] = document.data["values"]
    columns: tuple[str, ...] = document.data["columns"]
    axes = sorted({key for row in values for key in row} - set(columns))
    out = io.StringIO()
    writer = csv_module.DictWriter(out, [*columns, *axes], lineterminator="\n")
    writer.writeheader()
    writer.writerows(values)
    return out.getvalue()


@formats.register("json", suffix=".json")
def json(document: Document) -> str:
    """Findings, tables with raw values and intervals, figures and environment, for programs."""
    data = {
        "schema_version": 1,
        "title": document.title,
        "description": document.description,
        "findings": [asdict(f) for f in document.findings],
        "tables": [asdict(t) for t in document.tables],
        "figures": [asdict(f) for f in document.figures],
        "environment": dict(document.facts),
        "notes": list(document.notes),
    }
    return json_module.dumps(_finite(data), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def fitting(table: Table, width: int) -> list[list[int]]:
    """Columns in groups that fit the width, each beginning with the columns that name the row."""
    names = [i for i, column in enumerate(table.columns) if not column.numeric]

    def wide(i: int) -> int:
        words = table.columns[i].title.split()
        return _GAP + max([*map(len, words), *(len(_shown(row[i])) for row in table.rows)])

    groups: list[list[int]] = []
    room = 0
    for i in (i for i, column in enumerate(table.columns) if column.numeric):
        if not groups or wide(i) > room:
            groups.append([*names])
            room = width - sum(map(wide, names))
        groups[-1].append(i)
        room -= wide(i)
    return groups or [names]


def _shown(entry: Entry) -> str:
    return f"{entry.text} {entry.outcome}".strip()


def _md(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def md_table(table: Table) -> list[str]:
    """The lines of a Markdown table."""
    head = "| " + " | ".join(_md(c.title) for c in table.columns) + " |"
    rule = "|" + "|".join("---:" if c.numeric else "---" for c in table.columns) + "|"
    rows = [
        "| " + " | ".join(f"**{_md(_shown(e))}**" if e.best else _md(_shown(e)) for e in row) + " |"
        for row in table.rows
    ]
    return [head, rule, *rows]


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: they become null."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
