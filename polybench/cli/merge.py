"""`polybench merge`: one run out of the parts that several machines measured."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def merge(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="runs of one suite, such as its shards")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="a new folder for the merged run")],
    force: Annotated[bool, typer.Option("--force", help="merge although code or texts changed")] = False,
) -> None:
    """Make one run of several of the same suite, such as its shards.

    It says which trials are missing; `polybench run --resume` measures them.
    """
    from polybench.report.provenance import part_facts
    from polybench.run import store
    from polybench.run.merge import MOST_LABELS, missing
    from polybench.run.merge import merge as make

    merged = make([store.find(text) for text in runs], out, force)
    for name, value in part_facts(merged):
        print(f"{name}: {value}", file=sys.stderr)
    print(f"results: {out}")
    absent = missing(merged)
    where = f"{len(merged.records)} of {merged.header['planned']} trials"
    if absent:
        shown = [*absent[:MOST_LABELS], *([f"{len(absent) - MOST_LABELS} more"] if len(absent) > MOST_LABELS else [])]
        print("\n".join(f"missing: {label}" for label in shown), file=sys.stderr)
        where += f"; go on with: polybench run --resume {shlex.quote(str(out))}"
    print(where, file=sys.stderr)
