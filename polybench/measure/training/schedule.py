"""The learning rate by step: a linear warm-up, then a cosine, or a plateau and a decay.

A cosine down to a tenth of the peak is the set-up of arXiv:2411.03884's code; warm-up, stable, decay is that of
arXiv:2404.06395.
"""

from __future__ import annotations

from polybench.measure.annealing import annealed
from polybench.measure.training_axes import FilledAxes

FLOOR = 0.1  # of the peak rate, where a cosine ends


def schedule(step: int, axes: FilledAxes, budget: int | None = None) -> float:
    """Share of the peak learning rate at a step of a training that ends at `budget`, by default at all steps."""
    warm, budget = axes.warm_steps, budget or axes.steps
    if axes.schedule == "wsd" and step >= warm:
        return min(1.0, (budget - step) / (budget - axes.fork(budget)))
    return annealed(step, axes.steps, warm, FLOOR)
