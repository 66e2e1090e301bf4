"""Squared ReLU without its kink in the second derivative."""

from __future__ import annotations

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations


@activations.register("relu2_smooth", branches=1, source="karpathy/nanochat #828")
class SmoothSquaredReLU(nn.Module):
    """x (x + sqrt(x^2 + a^2)) / 2, which becomes max(x, 0)^2 as a goes to 0.

    Taken as max(x, 0)^2 + a^2 x / (2 (|x| + sqrt(x^2 + a^2))), which is the same and cancels nothing below zero, in
    float32 (float64 stays).
    """

    def __init__(self, *, a: PositiveFloat = 0.2):
        super().__init__()
        self.a = a

    def forward(self, x_F: Tensor) -> Tensor:
        wide_F = x_F if x_F.dtype == torch.float64 else x_F.float()
        above_F = torch.relu(wide_F)
        sum_F = wide_F.abs() + torch.sqrt(wide_F * wide_F + self.a**2)
        return (above_F * above_F + wide_F / sum_F * (self.a**2 / 2)).to(x_F.dtype)

    def cost(self) -> Cost:
        """Eager keeps the input, relu of it, the root q and the sum s that divides.

        Backward forms q and s anew, and is 2 max(x, 0) + a^2 / (2 s) (1 - |x| / q).
        """
        return Cost(branches=1, forward_flops=10, backward_flops=13, kept=4, wide=True)
