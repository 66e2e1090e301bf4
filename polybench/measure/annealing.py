"""A learning rate that rises in a line and falls as half a cosine, for every kind that trains. No torch in here."""

from __future__ import annotations

import math


def annealed(step: int, steps: int, warm_steps: int, floor: float = 0.0) -> float:
    """Share of the peak rate at a step: up to 1 within `warm_steps`, then down to `floor` at the last of all steps."""
    if step < warm_steps:
        return (step + 1) / warm_steps
    progress = (step - warm_steps) / max(1, steps - warm_steps)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
