"""`polybench gate`: a run against a baseline."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from polybench.cli.options import Inconclusive, Json
from polybench.cli.verdicts import Write, conclude
from polybench.errors import UsageError
from polybench.stats import ALPHA

if TYPE_CHECKING:
    from polybench.compare.baseline import Baseline
    from polybench.run.store import Run


def gate(
    baseline: Annotated[str, typer.Option(metavar="NAME", help="a baseline, or a run to hold against")] = "",
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="the run to judge; the latest if left out")] = None,
    self_check: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="measure equal code N times and judge it; 0 judges the stored sessions"),
    ] = None,
    inconclusive: Inconclusive = "report",
    as_json: Json = False,
    write: Write = None,
) -> None:
    """Judge a run against a baseline by the suite's rules.

    Ends with 0 where it passes, 1 where something got worse or is gone, 4 where that cannot be judged, 3 where trials
    failed, and 5 where nothing was compared. With --self-check it says how often equal code fails, and ends with 4
    where that is too often.
    """
    from polybench.compare import baseline as kept
    from polybench.compare.gate import between, exit_code
    from polybench.compare.judged import Judged
    from polybench.machine.environment import unrecorded
    from polybench.run import store

    if not baseline:
        raise UsageError("say --baseline NAME to judge a run; polybench baseline save keeps one as a baseline")
    if self_check is not None:
        if run is not None:
            raise UsageError("--self-check judges equal code, so leave the run away")
        if write or inconclusive != "report":
            raise UsageError("--self-check counts verdicts, so leave --write and --inconclusive away")
        _check_itself(kept.load(kept.find(baseline)), self_check, as_json)
    found = store.load(store.find(run))
    before = kept.load(kept.find(baseline))
    if before.run.path.resolve() == found.path.resolve():
        raise UsageError(f"{found.path} is both the run and the baseline, so there is nothing to judge; name another")
    verdicts = between(before, found)
    if unknown := unrecorded(before.run.environment, found.environment):
        print(f"not compared, since one of the runs does not record it: {', '.join(unknown)}", file=sys.stderr)
    code, reason = exit_code(verdicts, inconclusive, found)
    reason += "; the baseline was kept from this very run" if _kept_from(before.run, found) else ""
    for note in (*before.run.notes, *found.notes):
        print(note, file=sys.stderr)
    source = str(found.header.get("source", ""))
    conclude(Judged("gate", found.suite.suite, tuple(verdicts), code, reason, source), as_json, write)


def _check_itself(baseline: Baseline, count: int, as_json: bool) -> NoReturn:
    """Hold equal code against the baseline, measured now or session by session, and say how often that failed."""
    from polybench.cli.calibrate import measured
    from polybench.compare.calibration import Alarms, promised
    from polybench.compare.gate import between
    from polybench.machine.environment import code_hash
    from polybench.plan.suite import Suite

    if count:
        stored, now = baseline.sessions, code_hash()
        then = stored[-1].code if stored else baseline.run.environment.get("code")
        if then != now:
            raise UsageError(f"the code of polybench changed since the baseline ({then} / {now}); calibrate a new one")
        suite = Suite.model_validate(baseline.run.header["suite"])
        with TemporaryDirectory() as place:
            runs = (measured(suite, "", False, Path(place) / str(number)) for number in range(count))
            found = Alarms.of(between(baseline, run) for run in runs)
    else:
        found = promised(baseline)
    low, high = found.bound
    told = {**asdict(found), "low": low, "high": high}
    code = 4 if low > ALPHA else 0
    reason = (
        f"{found.failed} of {found.gates} gates of equal code failed [{low:.1%}, {high:.1%}]; "
        f"of {found.cells} cells {found.failed_cells} failed and {found.undecided} were not decided"
    )
    whole = {"schema_version": 1, "exit_code": code, "reason": reason, **told}
    print(json.dumps(whole, indent=1) if as_json else reason)
    raise typer.Exit(code)


def _kept_from(baseline: Run, run: Run) -> bool:
    """Whether all that the baseline holds was measured by the run itself."""
    when = {(r.trial.id, r.started_at) for r in run.records}
    began = baseline.header.get("started_at")
    return began == run.header.get("started_at") and {(r.trial.id, r.started_at) for r in baseline.records} <= when
