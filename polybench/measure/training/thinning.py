"""A long curve made short, by leaving values out: what is kept is raw, and no spike is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST = 2000  # points of a curve that a record keeps


def thin(steps: Sequence[int], values: Sequence[float], most: int = MOST) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """At most `most` of the points: the first, the last, and the least and the highest of every bin between.

    Nothing is averaged. What is not a number counts as highest, so that a curve that broke still shows it.

    Raises:
        ValueError: `steps` and `values` differ in length, or `most` is below 4.
    """
    if len(steps) != len(values) or most < 4:
        raise ValueError(f"{len(steps)} steps for {len(values)} values cannot be thinned to {most}")
    inner, bins = len(values) - 2, (most - 2) // 2
    if inner + 2 <= most:
        return tuple(steps), tuple(values)
    kept = {0, inner + 1}
    for b in range(bins):
        bin_ = range(1 + inner * b // bins, 1 + inner * (b + 1) // bins)
        kept |= {min(bin_, key=values.__getitem__), max(bin_, key=lambda i: _height(values[i]))}
    places = sorted(kept)
    return tuple(steps[i] for i in places), tuple(values[i] for i in places)


def _height(value: float) -> float:
    return math.inf if math.isnan(value) else value
