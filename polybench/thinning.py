"""Fewer points of a long curve, each of them as it was measured."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 2000


def thin(steps: Sequence[int], values: Sequence[float], most: int = MOST) -> tuple[list[int], list[float]]:
    """At most `most` points (4 at least): the first, the last, and the lowest and highest of equal stretches between.

    So a spike survives, and nothing is averaged. Whatever is no number counts as highest.
    """
    count = len(values)
    if count <= most:
        return list(steps), list(values)
    stretches = max(1, (most - 2) // 2)
    kept = {0, count - 1}
    for i in range(stretches):
        low, high = 1 + i * (count - 2) // stretches, 1 + (i + 1) * (count - 2) // stretches
        inside = sorted(range(low, high), key=lambda at: (values[at] != values[at], values[at]))
        kept |= {inside[0], inside[-1]}
    chosen = sorted(kept)
    return [steps[i] for i in chosen], [values[i] for i in chosen]
