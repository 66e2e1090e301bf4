"""`polybench selfcheck`: measure equal and slowed code, and say how far verdicts can be trusted here."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.cli.options import Json
from polybench.errors import NothingMeasured, UsageError

if TYPE_CHECKING:
    from polybench.plan.suite import Suite

ACTIVATIONS = ("relu", "gelu", "swiglu")  # the cheapest, so that many cells fit
SLOWDOWNS = (1.03, 1.05, 1.08, 1.10)


def selfcheck(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="judge this run anew, measure nothing")] = None,
    cells: Annotated[int, typer.Option(metavar="N", min=1, help="how many cells; 60 take a few minutes")] = 60,
    launches: Annotated[int, typer.Option(metavar="N", min=1, help="fresh processes a cell")] = 3,
    blocks: Annotated[int, typer.Option(metavar="N", min=20, help="rounds a launch")] = 60,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="a new folder for the results")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
    as_json: Json = False,
) -> None:
    """Measure how far verdicts can be trusted on this machine.

    Equal code shows how often they raise a false alarm, slowed code what they find.

    Ends with 0, or with 4 when this machine raises more false alarms than the intervals promise, or sees nothing.
    """
    from polybench.compare import selfcheck as check
    from polybench.files import write_whole
    from polybench.report.compose import compose
    from polybench.report.formats.markdown import markdown
    from polybench.report.formats.terminal import terminal
    from polybench.report.selfcheck import table
    from polybench.run import local, session, store
    from polybench.run.progress import shown

    if run is not None and out is not None:
        raise UsageError("--out is for a new measurement; leave it away to judge a run anew")
    if run is None:
        current = session.begin(suite(cells, launches, blocks), out, None, check.KIND)
        with shown(current, quiet) as tell:
            local.carry_out(current, tell)
        path = current.path
    else:
        path = store.find(run)
    found = store.load(path)
    if not check.cells(found):
        raise NothingMeasured(f"no cell of a selfcheck was measured in {path}")
    trusted, reason = check.conclusion(found)
    if as_json:
        print(json.dumps({"run": str(path), "table": asdict(table(found)), "reason": reason}, indent=1))
    else:
        document = compose(found)
        write_whole(path / "report.md", markdown(document))
        print(terminal(document))
        print(f"results: {path}")
        print(reason)
    raise typer.Exit(0 if trusted else 4)


def suite(cells: int, launches: int, blocks: int) -> Suite:
    """As many cells as asked for, or a few more: every activation with every slowdown, again and again."""
    from polybench.compare.selfcheck import KIND
    from polybench.plan.suite import Suite

    repeats = max(1, math.ceil(cells / (len(ACTIVATIONS) * len(SLOWDOWNS))))
    matrix = {"slowdown": list(SLOWDOWNS), "repeat": list(range(repeats))}
    benchmark = {
        "name": KIND, "kind": KIND, "matrix": matrix, "protocol": {"launches": launches, "blocks": blocks},
    }  # fmt: skip
    return Suite.model_validate(
        {
            "suite": KIND,
            "description": "Verdicts on equal code, and on code that is slower by a known factor.",
            "device": "cpu",  # a GPU replays graphs, in which a slowdown by extra calls would be frozen
            "activations": list(ACTIVATIONS),
            "reference": ACTIVATIONS[0],
            "benchmarks": [benchmark],
        }
    )
