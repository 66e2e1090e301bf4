"""Made-up verdicts: each outcome, changes with intervals, and text that would be more than text."""

from __future__ import annotations

from typing import Any, get_args

from polybench.compare.decision import Ruling
from polybench.compare.judged import Judged
from polybench.compare.verdict import Verdict
from polybench.kind import kind_of
from polybench.stats import Estimate

BYTES, TIME, LOSS, RATE = (
    kind_of(kind).named[name]
    for kind, name in (
        ("memory", "saved_bytes"), ("speed", "total_time"), ("pretrain", "val_loss"), ("pretrain", "tokens_per_s"),
    )
)  # fmt: skip
OUTCOMES = get_args(Ruling)
CODES = {"broken": 3, "fail": 1, "missing": 1, "inconclusive": 4, "not comparable": 4, "ungateable": 4}
HOSTILE = "a|b\n::error::x %0A <b>&amp; @you #1 `c` $d$ _e_ \\end{tabular} ]]> \x1b[31m \ud800 é ∞ <!-- --> \\input{x}"


def verdict(outcome: Any, label: str = "memory/relu", metric: Any = BYTES, **more: Any) -> Verdict:
    known = {
        "rule": metric.name,
        "baseline": 100.0,
        "value": 101.0,
        "reason": "because" if outcome != "pass" else "",
        **more,
    }
    return Verdict(known.pop("rule"), label, metric, outcome, **known)


def judged(*verdicts: Verdict, code: int | None = None, command: str = "gate", **more: Any) -> Judged:
    worst = next((c for c in (3, 1, 4) if c in {CODES.get(v.outcome) for v in verdicts}), 0)
    return Judged(command, "toy", verdicts, worst if code is None else code, "the reason", **more)


ALL = judged(*(verdict(o, f"memory/{i}") for i, o in enumerate(OUTCOMES)))
CHANGED = judged(
    verdict("fail", "speed/relu", TIME, baseline=1e-3, value=1.2e-3, change=Estimate(1.2, 1.15, 1.25, 9)),
    verdict("inconclusive", "pretrain/relu", LOSS, baseline=3.0, value=3.1, change=Estimate(0.1, -0.1, 0.3, 3)),
    verdict("pass", "pretrain/relu", RATE, baseline=3.0, value=3.1, change=Estimate(0.1, -float("inf"), 0.3, 1)),
    verdict("missing", "speed/gelu", TIME, value=None),
    verdict("broken", "speed/silu", TIME, value=float("nan")),
)
HOSTILE_ONE = judged(verdict("fail", HOSTILE, rule=HOSTILE, reason=HOSTILE))
