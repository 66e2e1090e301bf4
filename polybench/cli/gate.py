"""`polybench gate`: a run against a baseline, its verdicts worst first or as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from polybench.cli.options import Json
from polybench.errors import UsageError

if TYPE_CHECKING:
    from polybench.compare.verdict import Ruling, Verdict
    from polybench.run.store import Run


_ORDER: tuple[Ruling, ...] = ("broken", "missing", "fail", "inconclusive", "not comparable", "improved", "new", "pass")
_WORDS = {"improved": "pass, an unrecorded win"}


def gate(
    baseline: Annotated[str, typer.Option(metavar="RUN", help="the run to hold against")] = "",
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="the run to judge; the latest if left out")] = None,
    save: Annotated[Path | None, typer.Option(metavar="DIR", help="keep the run's gated records as a baseline")] = None,
    inconclusive: Annotated[
        str, typer.Option(metavar="report|pass|fail", help="what an undecided cell means")
    ] = "report",
    as_json: Json = False,
) -> None:
    """Judge a run against a baseline by the suite's rules.

    Ends with 0 where it passes, 1 where something got worse or is gone, 4 where that cannot be judged, 3 where trials
    failed, and 5 where nothing was compared.
    """
    from polybench.compare.baseline import keep
    from polybench.compare.gate import between, exit_code
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
    print(json.dumps(to_json(verdicts, code, reason), indent=1) if as_json else as_text(verdicts))
    if not as_json:
        print(reason)
    raise typer.Exit(code)


def _kept_from(baseline: Run, run: Run) -> bool:
    """Whether all that the baseline holds was measured by the run itself."""
    when = {(r.trial.id, r.started_at) for r in run.records}
    began = baseline.header.get("started_at")
    return began == run.header.get("started_at") and {(r.trial.id, r.started_at) for r in baseline.records} <= when


def as_text(verdicts: Sequence[Verdict]) -> str:
    """A line a verdict; passes are only counted, a rule at a time."""
    lines = []
    for v in sorted(verdicts, key=lambda v: _ORDER.index(v.outcome)):
        if v.outcome == "pass":
            continue
        lines.append(
            f"{_WORDS.get(v.outcome, v.outcome)}: {v.label} {v.metric.name}{_values(v)}"
            + (f": {v.reason}" if v.reason else "")
        )
    for rule in dict.fromkeys(v.rule for v in verdicts):
        mine = [v for v in verdicts if v.rule == rule]
        lines.append(f"{rule}: {sum(v.outcome in ('pass', 'improved') for v in mine)} of {len(mine)} cells pass")
    return "\n".join(lines)


def to_json(verdicts: Sequence[Verdict], code: int, reason: str) -> dict[str, Any]:
    found = [{**asdict(v), "metric": v.metric.name, "unit": v.metric.unit, "change": _estimate(v)} for v in verdicts]
    return {"schema_version": 1, "exit_code": code, "reason": reason, "verdicts": found}


def _estimate(v: Verdict) -> dict[str, Any] | None:
    """JSON has no infinity: an open end of an interval is null."""
    if v.change is None:
        return None
    return {k: x if math.isfinite(x) else None for k, x in asdict(v.change).items()}


def _values(v: Verdict) -> str:
    from polybench.metric import scale_for

    if v.baseline is None or v.value is None:
        return ""
    scale = scale_for(v.metric.unit, [v.baseline, v.value]) if v.metric.varies_with != "nothing" else scale_for("1", [])
    unit = scale.unit or ("" if v.metric.unit == "1" else v.metric.unit)
    return f" {scale.show(v.baseline)} -> {scale.show(v.value)} {unit}".rstrip()
