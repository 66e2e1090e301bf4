"""Squared ReLU without its kink in the second derivative."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations


@activations.register("relu2_smooth", branches=1, source="karpathy/nanochat #828")
class SmoothSquaredReLU(nn.Module):
    """x (x + sqrt(x^2 + a^2)) / 2, which becomes max(x, 0)^2 as a goes to 0."""

    def __init__(self, *, a: PositiveFloat = 0.2):
        super().__init__()
        self.a = a

    def forward(self, x_F: Tensor) -> Tensor:
        return x_F * (x_F + torch.sqrt(x_F * x_F + self.a**2)) / 2

    def cost(self) -> Cost:
        """Eager keeps the input, the root, and what x is multiplied by; backward is (2 x + q + x^2 / q) / 2."""
        return Cost(branches=1, forward_flops=6, backward_flops=9, kept=3)
