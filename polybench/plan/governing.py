"""Which gate rule holds which cell: of those that name its metric and match it, the last.

So a rule for all cells may stand first, and after it those for some of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from polybench.plan.suite import Rule
from polybench.trial import Cell


def matches(benchmark: str, cell: Cell, where: Mapping[str, Any]) -> bool:
    """Whether a cell has the wanted values; each is one value or a list of them."""
    known = {**dict(cell.axes), "benchmark": benchmark, "kind": cell.kind, "activation": cell.activation,
             "backend": cell.backend, "device": cell.device, "dtype": cell.dtype}  # fmt: skip
    return all(known.get(k) in (v if isinstance(v, list) else [v]) for k, v in where.items())


def governing(rules: Sequence[Rule], metric: str, benchmark: str, cell: Cell) -> Rule | None:
    """The rule that a metric of a cell is held to; None where it is not gated."""
    held = (rule for rule in reversed(rules) if rule.metric == metric and matches(benchmark, cell, rule.where))
    return next(held, None)
