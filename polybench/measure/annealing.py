"""For every kind that trains: a learning rate that rises in a line and falls as half a cosine, and when what is held
out is looked at. No torch in here."""

from __future__ import annotations

import math


def annealed(step: int, steps: int, warm_steps: int, floor: float = 0.0) -> float:
    """Share of the peak rate at a step: up to 1 within `warm_steps`, then down to `floor` at the last of all steps."""
    if step < warm_steps:
        return (step + 1) / warm_steps
    progress = (step - warm_steps) / max(1, steps - warm_steps)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def warm_steps(share: float, steps: int) -> int:
    """In how many steps the rate rises, by their share of all; at least one where there is a share."""
    return max(1, round(share * steps)) if share else 0


def looks(steps: int, count: int) -> set[int]:
    """The steps after which there is one of so many looks, evenly spaced, the last at the end."""
    return {max(1, round(steps * (i + 1) / count)) for i in range(count)}
