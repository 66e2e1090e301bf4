"""Which learning rate is best, from the losses of a few seeds at each; an infinite loss is a run that failed."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

Losses = Mapping[float, Sequence[float]]  # of every seed, by rate


def mean(losses: Sequence[float]) -> float:
    """Of a rate's seeds; infinite where there is none or one of them failed."""
    return statistics.fmean(losses) if losses and all(map(math.isfinite, losses)) else math.inf


def best(losses: Losses) -> float | None:
    """The rate of least mean, the lower one of two that tie; None where none went well with every seed."""
    found = [(mean(values), rate) for rate, values in losses.items()]
    least, rate = min(found, default=(math.inf, 0.0))
    return rate if math.isfinite(least) else None


def at_edge(rate: float, tried: Iterable[float]) -> Literal["low", "high", ""]:
    """Whether the rate is the lowest or highest of those that were tried, so that a better one may lie beyond."""
    rates = sorted(tried)
    return "low" if rate == rates[0] else "high" if rate == rates[-1] else ""


def shared(by_activation: Mapping[str, Losses]) -> float | None:
    """The rate, tried by all, of least mean over the activations; None where there is none."""
    common = set.intersection(*(set(losses) for losses in by_activation.values())) if by_activation else set()
    return best({rate: [mean(losses[rate]) for losses in by_activation.values()] for rate in common})
