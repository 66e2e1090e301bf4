"""What an activation of a training runs by itself, where the model around it is not compiled."""

from __future__ import annotations

import torch

from polybench.measure.instruments.watching import Ran, ran_alone
from polybench.measure.model.build import Chosen, Executed
from polybench.measure.training_axes import FilledAxes


def ran_of(activation: Chosen, axes: FilledAxes, device: str, dtype: str, size: int = 1) -> Ran:
    """What an activation alone runs for a micro-batch of one of `size` processes, of the shape that its block has."""
    branches, wide = activation.branches, torch.float64 if dtype == "float64" else torch.float32
    module = activation.module().to(device=device, dtype=wide)
    executed = Executed(module, activation.executed(module), branches * axes.shape.width(branches))
    sequences = axes.batch // axes.accumulate // size
    # So that nothing is compiled for this alone; a mixture sorts its tokens by expert.
    rows = (sequences * axes.seq_len * axes.top_k,) if axes.experts else (sequences, axes.seq_len)
    with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
        return ran_alone(executed, rows, getattr(torch, dtype), device)
