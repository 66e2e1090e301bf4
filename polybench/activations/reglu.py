"""ReGLU and its square: ReLU as a gate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side.


@activations.register("reglu", branches=2, source="arXiv:2002.05202")
class ReGLU(nn.Module):
    """relu(gate) * value, gate and value being the two halves of the input."""

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        return torch.relu(gate_F) * value_F

    def cost(self) -> Cost:
        """Eager keeps both halves, which are one tensor, and relu(gate)."""
        return Cost(branches=2, forward_flops=2, backward_flops=4, kept=3)


@activations.register("reglu2", branches=2, source="NVIDIA/TransformerEngine, its enum of activations")
class SquaredReGLU(nn.Module):
    """relu(gate)^2 * value."""

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        gate_F = torch.relu(gate_F)
        return gate_F * gate_F * value_F  # a power would be float32 under autocast

    def cost(self) -> Cost:
        """Eager keeps both halves, which are one tensor, relu(gate) and its square."""
        return Cost(branches=2, forward_flops=3, backward_flops=6, kept=4)
