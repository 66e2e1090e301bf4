"""`polybench selfcheck`: measure equal and slowed code, and say how far verdicts can be trusted here."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polybench.cli.options import Json, Out, Quiet
from polybench.errors import NothingMeasured, UsageError

if TYPE_CHECKING:
    from polybench.plan.suite import Suite

ACTIVATIONS = ("swiglu", "gelu", "polynorm")
BACKENDS = ("eager", "compile")
# Those of suites/quick.yaml and suites/speed.yaml: one of each level first, then the others.
SHAPES: tuple[dict[str, Any], ...] = (
    {"level": "activation", "tokens": 512, "d_model": 128},
    {"level": "block", "tokens": 256, "d_model": 256},
    {"level": "decoder", "tokens": 256, "d_model": 128, "layers": 2, "seq_len": 128},
    {"level": "activation", "tokens": 128, "d_model": 128},
    {"level": "activation", "tokens": 1024, "d_model": 256},
    {"level": "block", "tokens": 512, "d_model": 128},
)
FEW = 3  # shapes of the shortest selfcheck


def selfcheck(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="judge this run anew, measure nothing")] = None,
    cells: Annotated[int, typer.Option(metavar="N", min=1, help="how many cells; 6 take two minutes")] = 6,
    launches: Annotated[int | None, typer.Option(metavar="N", min=1, help="fresh processes a cell")] = None,
    blocks: Annotated[int | None, typer.Option(metavar="N", min=7, help="rounds a launch")] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=1_000_000, help="of data and orders")] = 0,
    out: Out = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how far verdicts can be trusted on this machine.

    Equal code shows how often they raise a false alarm, slowed code what they find: activations alone, blocks and
    decoders, eager and compiled, by the rule of polybench and by those of other tools.

    Ends with 0, with 4 when this machine raises more false alarms than the intervals promise, or sees nothing, and
    with 3 where trials failed.
    """
    from polybench.compare import selfcheck as check
    from polybench.files import write_whole
    from polybench.report.compose import compose
    from polybench.report.formats.markdown import markdown
    from polybench.report.formats.terminal import terminal
    from polybench.report.selfcheck import QUESTION
    from polybench.run import local, planned, session, store
    from polybench.run.lock import locked
    from polybench.run.progress import shown

    if run is not None and out is not None:
        raise UsageError("--out is for a new measurement; leave it away to judge a run anew")
    if run is None:
        current = session.begin(suite(cells, seed, launches, blocks), out, None, check.KIND)
        with locked(current.path), shown(current, quiet) as tell:
            local.carry_out(current, tell)
        path = current.path
    else:
        path = store.find(run)
    measured = store.load(path)
    document = compose(measured)
    found = next((f for f in document.findings if f.question == QUESTION), None)
    failed, why = local.outcome(measured.records, planned.labels(measured))
    if failed:
        print(why, file=sys.stderr)
    if found is None and failed:
        raise typer.Exit(failed)
    if found is None:
        raise NothingMeasured(f"no cell of a selfcheck was measured in {path}")
    if as_json:
        tables = {t.key: asdict(t) for t in document.tables if t.key.startswith(check.KIND)}
        print(
            json.dumps({"run": str(path), "trusted": found.resolved, "reason": found.text, "tables": tables}, indent=1)
        )
    else:
        write_whole(path / "report.md", markdown(document))
        print(terminal(document))
        print(f"results: {path}")
    raise typer.Exit(failed or (0 if found.resolved else 4))


def suite(cells: int, seed: int = 0, launches: int | None = None, blocks: int | None = None) -> Suite:
    """As many cells as asked for, or a few more: every shape by every backend, then with another activation."""
    from polybench.compare.selfcheck import KIND
    from polybench.plan.suite import Suite

    shapes = SHAPES[:FEW] if cells <= FEW * len(BACKENDS) else SHAPES
    times = math.ceil(cells / (len(shapes) * len(BACKENDS)))
    names = next(n for n in range(len(ACTIVATIONS), 0, -1) if n <= times and -times % n <= 1)
    protocol = {"seed": seed, "launches": launches, "blocks": blocks}
    return Suite.model_validate(
        {
            "suite": KIND,
            "description": "Verdicts on equal code, and on code that is slower by a known factor.",
            "device": "cpu",  # a GPU is slowed by more rows: suites/gpu/selfcheck.yaml
            "activations": list(ACTIVATIONS[:names]),
            "reference": ACTIVATIONS[0],
            "benchmarks": [
                {
                    "name": "-".join(map(str, (shape["level"], shape["tokens"], shape["d_model"], repeat))),
                    "kind": KIND,
                    "backends": list(BACKENDS),
                    "matrix": {**shape, "repeat": repeat},
                    "protocol": {name: value for name, value in protocol.items() if value is not None},
                }
                for repeat in range(math.ceil(times / names))
                for shape in shapes
            ],
        }
    )
