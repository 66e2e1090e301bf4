"""Reports as text: for a terminal, for Markdown pages, for spreadsheets and for programs."""

from __future__ import annotations

import io
import os
import sys

from polybench.document import Document, Table
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
                shown = ((row[i].best, escape(row[i].shown)) for i in part)
                grid.add_row(*(f"[bold]{text}[/bold]" if best else text for best, text in shown))
            console.print(grid, soft_wrap=False)
            console.print()
        for note in table.notes:
            console.print(f"  {escape(note)}", soft_wrap=True)
    for note in document.notes:
        console.print(f"\n{escape(note)}", soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def fitting(table: Table, width: int) -> list[list[int]]:
    """Columns in groups that fit the width, each beginning with the columns that name the row."""
    names = [i for i, column in enumerate(table.columns) if not column.numeric]

    def wide(i: int) -> int:
        words = table.columns[i].title.split()
        return _GAP + max([*map(len, words), *(len(row[i].shown) for row in table.rows)])

    groups: list[list[int]] = []
    room = 0
    for i in (i for i, column in enumerate(table.columns) if column.numeric):
        if not groups or wide(i) > room:
            groups.append([*names])
            room = width - sum(map(wide, names))
        groups[-1].append(i)
        room -= wide(i)
    return groups or [names]
