"""Comparisons that are asked together: their p values corrected for one another, and what survives that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from polybench.compare.comparison import Comparison, Outcome, of_losses
from polybench.corrections import benjamini_hochberg, holm, resolves
from polybench.trial import Cell


def corrected(alone: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with their corrected p values; what does not survive the correction is not resolved."""
    families: dict[tuple[str, str, Cell | None], list[int]] = defaultdict(list)
    for i, c in enumerate(alone):
        if c.p is not None:
            # A loss is asked about once a cell, and its verdict must not hang on what other cells hold.
            cell = c.cell.place if of_losses(c.metric) else None
            families[c.benchmark, c.metric.name, cell].append(i)
    judged = [replace(c, alone=c.outcome) for c in alone]
    for (_, _, cell), places in families.items():
        adjusted = (holm if cell else benjamini_hochberg)([alone[i].p or 0.0 for i in places])
        equal = holm([1.0 if (p := alone[i].same_p) is None else p for i in places])
        for i, q, same_q in zip(places, adjusted, equal, strict=True):
            judged[i] = _judged(judged[i], q, same_q if alone[i].same_p is not None else None)
    return judged


def _judged(c: Comparison, q: float, same_q: float | None) -> Comparison:
    """With its corrected p values: told apart, else the same, else not resolved; two questions, corrected each."""
    outcome: Outcome = c.outcome
    if outcome in ("better", "worse") and not resolves(q):
        outcome = "unresolved"
    if outcome == "unresolved" and resolves(same_q):
        outcome = "same"
    settle = c.settle if outcome == "unresolved" else ""
    return replace(c, q=q, same_q=same_q, outcome=outcome, settle=settle)
