"""`polybench report`: the tables of a run on the screen, and its report as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="runs; the latest if left out")] = None,
    format: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="terminal, markdown, html, csv, json")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write the files here, not beside the records")
    ] = None,
) -> None:
    """Print the tables of a run and write its report files; with --format, print that one format."""
    from polybench.files import make_folder, write_whole
    from polybench.registry import formats
    from polybench.report.compose import compose
    from polybench.run.store import find, load

    chosen = {name: formats.load(name) for name in format or formats.names()}
    wanted: list[str | None] = [*runs] if runs else [None]
    for text in wanted:
        one = load(find(text))
        if not one.records:
            from polybench.errors import NothingMeasured

            raise NothingMeasured(f"nothing was measured in {one.path}, so there is nothing to report")
        document = compose(one)
        if format and not out:
            for entry in chosen.values():
                print(entry.object(document), end="")
            continue
        folder = out or one.path
        if out and len(wanted) > 1:
            folder = out / one.name
        make_folder(folder)
        for name, entry in chosen.items():
            rendered = entry.object(document)
            if name == "terminal" and not format:
                print(rendered)
                continue
            write_whole(folder / f"report{entry.facts['suffix']}", rendered)
        print(f"report: {folder / 'report.html' if 'html' in chosen else folder}")
