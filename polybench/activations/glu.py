"""GLU and its bilinear form, what the gated kinds began as."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side.


@activations.register("glu", branches=2, source="arXiv:1612.08083; arXiv:2002.05202")
class GLU(nn.Module):
    """sigmoid(gate) * value, gate and value being the two halves of the input."""

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        return torch.sigmoid(gate_F) * value_F

    def cost(self) -> Cost:
        """Eager keeps both halves, which are one tensor, and sigmoid(gate)."""
        return Cost(branches=2, forward_flops=4, backward_flops=8, kept=3)


@activations.register("bilinear", branches=2, source="arXiv:2002.05202")
class Bilinear(nn.Module):
    """gate * value: a gate without a nonlinearity."""

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        return gate_F * value_F

    def cost(self) -> Cost:
        return Cost(branches=2, forward_flops=1, backward_flops=2, kept=2)
