"""Leaky ReLU squared, which keeps a gradient for negative inputs."""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations


@activations.register(
    "leaky_relu2", branches=1, source="openai/parameter-golf, its records of 2026", used_by="parameter-golf records"
)
class SquaredLeakyReLU(nn.Module):
    """leaky_relu(x, slope)^2."""

    def __init__(self, *, slope: NonNegativeFloat = 0.5):
        super().__init__()
        self.slope = slope

    def forward(self, x_F: Tensor) -> Tensor:
        y_F = torch.nn.functional.leaky_relu(x_F, self.slope)
        return y_F * y_F  # a power would be float32 under autocast

    def cost(self) -> Cost:
        """Eager keeps the input and leaky_relu of it."""
        return Cost(branches=1, forward_flops=3, backward_flops=5, kept=2)
