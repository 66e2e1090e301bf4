"""SwiGLU, the gated activation of LLaMA."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side.


@activations.register("swiglu", branches=2, source="arXiv:2002.05202", used_by="LLaMA, Qwen, Mistral")
class SwiGLU(nn.Module):
    """silu(gate) * value, gate and value being the two halves of the input."""

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        return torch.nn.functional.silu(gate_F) * value_F

    def cost(self) -> Cost:
        """Eager keeps both halves, which are one tensor, and silu(gate)."""
        return Cost(branches=2, forward_flops=5, backward_flops=12, kept=3)
