"""How verdicts of the gate are shown: worst first, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from polybench.compare.verdict import Outcome, Verdict
from polybench.metric import scale_for

_ORDER: tuple[Outcome, ...] = ("broken", "missing", "fail", "inconclusive", "not comparable", "improved", "new", "pass")
_WORDS = {"improved": "pass, an unrecorded win"}


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
    if v.baseline is None or v.value is None:
        return ""
    scale = scale_for(v.metric.unit, [v.baseline, v.value]) if v.metric.varies_with != "nothing" else scale_for("1", [])
    unit = scale.unit or ("" if v.metric.unit == "1" else v.metric.unit)
    return f" {scale.show(v.baseline)} -> {scale.show(v.value)} {unit}".rstrip()
