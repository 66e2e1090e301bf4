"""What is decided of one gated cell: the word for it, why, and by what change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from polybench.stats import Estimate

Ruling = Literal[
    "pass", "improved", "fail", "missing", "broken", "inconclusive", "ungateable", "not comparable", "new"
]  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """`change` is a ratio, its logarithm or a difference; `p` is of no change for the worse, before correction."""

    outcome: Ruling
    reason: str = ""
    change: Estimate | None = None
    p: float | None = None
