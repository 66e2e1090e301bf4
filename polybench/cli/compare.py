"""`polybench compare`: base and head measured side by side in one job, and judged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from polybench.cli.options import DeviceOption, Filter, Inconclusive, Json, Out, Overrides, Quiet, budget_s
from polybench.cli.verdicts import Write, conclude
from polybench.errors import Stopped, UsageError
from polybench.saying import say


def compare(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="a suite file, or a comparison to be judged anew")],
    base: Annotated[
        str, typer.Option(metavar="WHAT", help="a revision, a source tree or a Python to hold against")
    ] = "",
    head: Annotated[str | None, typer.Option(metavar="WHAT", help="what is judged; the tree one stands in")] = None,
    base_setup: Annotated[str, typer.Option(metavar="CMD", help="run first in the base's tree")] = "",
    head_setup: Annotated[str, typer.Option(metavar="CMD", help="run first in the head's tree")] = "",
    filter: Filter = None,
    set_: Overrides = None,
    device: DeviceOption = None,
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="for all that is timed, such as 90s; half more again")
    ] = "5m",
    inconclusive: Inconclusive = "report",
    out: Out = None,
    write: Write = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure base and head in turns, and judge by the suite's rules.

    A third process measures the base once more, as a control. What fails is measured again before it counts.

    Ends with 0 where the head passes, 1 where something got worse or is gone, 4 where that cannot be judged, 3 where
    a measurement failed, and 5 where nothing was compared.
    """
    from polybench.compare.conclusion import judged
    from polybench.compare.measuring import compared
    from polybench.run import comparison_folder, side
    from polybench.run.side_plan import Request

    seconds = budget_s(budget)
    if os.path.isdir(suite):
        if base or head or base_setup or head_setup or set_ or device or filter or out:
            raise UsageError(f"{suite} is a folder, to be judged anew as it is; to measure, name a suite file")
        conclude(judged(comparison_folder.load(Path(suite)), inconclusive), as_json, write)
    if not base:
        raise UsageError("say what to hold against, for example --base main")
    if not os.path.isfile(suite):
        raise UsageError(f"{suite}: there is no such suite, and no such comparison")

    heard = (lambda line: None) if quiet else say
    folder: list[Path] = []
    request = Request(suite, tuple(set_ or ()), device, filter)
    try:
        with side.opened(base, head, base_setup, head_setup) as sides:
            stored = compared(request, sides, seconds, out, folder.append, heard)
    except KeyboardInterrupt:
        kept = f"; what was measured is kept in {folder[0]}" if folder else ""
        raise Stopped(f"interrupted{kept}") from None
    heard(f"results: {stored.path}")
    conclude(judged(stored, inconclusive), as_json, write)
