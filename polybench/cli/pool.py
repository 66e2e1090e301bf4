"""`polybench pool`: what several sessions on one machine say together of times."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polybench.cli.report import SCREEN, emit, loaded, rendered, suffix


def pool(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="runs of one machine, a session each")],
    metric: Annotated[str, typer.Option(metavar="NAME", help="which time")] = "total_time",
    format: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="print this format, such as markdown, latex or csv")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="write the files here")] = None,
) -> None:
    """Say what several runs on one machine show together.

    Each run is a session, and the sessions are the sample: a ratio's interval says how it varies from one to the
    next, which no single run can. Runs of different machines or protocols are refused.
    """
    from polybench.compare.pool import pool as pooled
    from polybench.files import make_folder, write_whole
    from polybench.registry import formats
    from polybench.report.pool import document
    from polybench.run.store import find, load

    made = document(pooled([load(find(text)) for text in runs], metric))
    chosen = loaded(format or (None if out else [SCREEN]))
    if not out:
        for one in chosen:
            emit(one, made)
        return
    make_folder(out)
    if not format:
        emit(formats.load(SCREEN), made)
    for one in chosen:
        if format or one.name != SCREEN:
            write_whole(out / f"pool{suffix(one)}", rendered(one, made))
    print(f"pool: {out}")
