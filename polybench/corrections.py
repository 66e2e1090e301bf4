"""p values of questions that are asked together: corrected for being many, and what they then decide."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from polybench.stats import ALPHA

Name = TypeVar("Name", bound=Hashable)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the family-wise error (Holm 1979), in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def holm_of(p_values: Mapping[Name, float]) -> dict[Name, float]:
    """The same of p values that have names."""
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def resolves(p: float | None) -> bool:
    """Whether a corrected p value resolves a question: at the border of `ALPHA` it does; an untested one never."""
    return p is not None and p <= ALPHA


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the false discovery rate (Benjamini, Hochberg 1995), in the given order."""
    count = len(p_values)
    order = sorted(range(count), key=lambda i: p_values[i], reverse=True)
    adjusted, lowest = [0.0] * count, 1.0
    for place, i in enumerate(order):
        lowest = min(lowest, p_values[i] * count / (count - place))
        adjusted[i] = lowest
    return adjusted
