"""SwiGLU clamped after silu, as Step-3.5 uses it."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side.


@activations.register(
    "swiglu_step", branches=2, source="flashinfer-ai/flashinfer #3492, a port", used_by="Step-3.5, Step-3.7"
)
class SteppedSwiGLU(nn.Module):
    """min(silu(gate), limit) * value, value within +-`limit`."""

    def __init__(self, *, limit: PositiveFloat = 7.0):
        super().__init__()
        self.limit = limit

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        return torch.nn.functional.silu(gate_F).clamp(max=self.limit) * value_F.clamp(-self.limit, self.limit)

    def cost(self) -> Cost:
        """Eager keeps both halves, which are one tensor, silu(gate), and what each became when it was clamped."""
        return Cost(branches=2, forward_flops=8, backward_flops=16, kept=5)
