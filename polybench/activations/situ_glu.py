"""SiTU-GLU: a gated activation bounded by tanh on both sides."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side.


@activations.register(
    "situ_glu",
    branches=2,
    source="NVIDIA/TransformerEngine #3402, flashinfer-ai/flashinfer #4009, ports",
    used_by="Kimi-K3",
)
class SiTUGLU(nn.Module):
    """beta tanh(gate / beta) sigmoid(gate) * bound tanh(value / bound)."""

    def __init__(self, *, beta: PositiveFloat = 4.0, bound: PositiveFloat = 25.0):
        super().__init__()
        self.beta, self.bound = beta, bound

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        gate_F = self.beta * torch.tanh(gate_F / self.beta) * torch.sigmoid(gate_F)
        return gate_F * (self.bound * torch.tanh(value_F / self.bound))

    def cost(self) -> Cost:
        """Eager keeps two hyperbolic tangents, what two products took, and no input."""
        return Cost(branches=2, forward_flops=11, backward_flops=22, kept=6)
