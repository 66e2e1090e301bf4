"""Which learning rate is best, from the losses that tuning seeds reached at each. Plain numbers only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Literal

TUNING = ".tuning"  # how the name of a benchmark ends that tunes the rate of another
# What is said of a learning rate that is a word.
WORDS = {"tuned": "each at its own best rate", "shared": "all at the shared rate"}
Losses = Mapping[float, Sequence[float]]  # learning rate -> loss of each tuning seed; not finite: diverged or failed


def sound(losses: Losses) -> dict[float, float]:
    """Mean loss by rate, of the rates that every seed survived, ascending.

    A seed is lost where its loss is not finite, and where a rate has fewer of them than another has.
    """
    seeds = max(map(len, losses.values()), default=0)
    kept = {r: v for r, v in losses.items() if v and len(v) == seeds and all(map(math.isfinite, v))}
    return {rate: fmean(kept[rate]) for rate in sorted(kept)}


def best(losses: Losses) -> float | None:
    """The rate of the least mean loss, the lower one of two that tie; None where no rate is `sound`."""
    means = sound(losses)
    return min(means, key=means.__getitem__, default=None)


def at_edge(rate: float, tried: Iterable[float]) -> Literal["low", "high", ""]:
    """Whether nothing below or nothing above `rate` was tried; a single rate lies at the low edge.

    What diverged was tried too: it bounds the best rate from above.
    """
    others = [r for r in tried if r != rate]
    if not any(r < rate for r in others):
        return "low"
    return "" if any(r > rate for r in others) else "high"


def shared(by_activation: Mapping[str, Losses]) -> float | None:
    """The rate of the least mean over activations, among those `sound` for every one; None where there is none."""
    means = [sound(losses) for losses in by_activation.values()]
    common = set.intersection(*map(set, means)) if means else set()
    return min(sorted(common), key=lambda rate: fmean(m[rate] for m in means), default=None)
