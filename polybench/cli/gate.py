"""`polybench gate`: a run against a baseline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from polybench.cli.options import Json
from polybench.cli.verdicts import Write, conclude
from polybench.errors import UsageError

if TYPE_CHECKING:
    from polybench.run.store import Run


def gate(
    baseline: Annotated[str, typer.Option(metavar="RUN", help="the run to hold against")] = "",
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="the run to judge; the latest if left out")] = None,
    save: Annotated[Path | None, typer.Option(metavar="DIR", help="keep the run's gated records as a baseline")] = None,
    inconclusive: Annotated[
        str, typer.Option(metavar="report|pass|fail", help="what an undecided cell means")
    ] = "report",
    as_json: Json = False,
    write: Write = None,
) -> None:
    """Judge a run against a baseline by the suite's rules.

    Ends with 0 where it passes, 1 where something got worse or is gone, 4 where that cannot be judged, 3 where trials
    failed, and 5 where nothing was compared.
    """
    from polybench.compare.baseline import keep
    from polybench.compare.gate import between, exit_code
    from polybench.compare.judged import Judged
    from polybench.machine.environment import unrecorded
    from polybench.run import store

    if inconclusive not in ("report", "pass", "fail"):
        raise UsageError(f"--inconclusive {inconclusive}: say report, pass or fail")
    if bool(baseline) == bool(save):
        raise UsageError("say --baseline RUN to judge a run, or --save DIR to keep one as a baseline")
    found = store.load(store.find(run))
    if save:
        print(f"kept {keep(found, save)} records in {save}")
        return
    before = store.load(store.find(baseline))
    if before.path.resolve() == found.path.resolve():
        raise UsageError(f"{found.path} is both the run and the baseline, so there is nothing to judge; name another")
    verdicts = between(before, found)
    if unknown := unrecorded(before.environment, found.environment):
        print(f"not compared, since one of the runs does not record it: {', '.join(unknown)}", file=sys.stderr)
    how: Literal["report", "pass", "fail"] = inconclusive  # type: ignore[assignment]
    code, reason = exit_code(verdicts, how, found)
    reason += "; the baseline was kept from this very run" if _kept_from(before, found) else ""
    source = str(found.header.get("source", ""))
    conclude(Judged("gate", found.suite.suite, tuple(verdicts), code, reason, source), as_json, write)


def _kept_from(baseline: Run, run: Run) -> bool:
    """Whether all that the baseline holds was measured by the run itself."""
    when = {(r.trial.id, r.started_at) for r in run.records}
    began = baseline.header.get("started_at")
    return began == run.header.get("started_at") and {(r.trial.id, r.started_at) for r in baseline.records} <= when
