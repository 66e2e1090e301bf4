"""PolyReLU: a learned polynomial of ReLU."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; r the order of the polynomial.


@activations.register("polyrelu", branches=1, source="arXiv:2411.03884; BryceZhuo/PolyCom@0ed8ad4")
class PolyReLU(nn.Module):
    """sum of a_i relu(x)^i for i = 0..r, with learned a_i.

    `weight` holds a_r first and a_1 last, the order of the official checkpoints; `bias` is a_0.
    Powers and sums are taken in float32 (float64 stays), because x^3 overflows float16 early.
    """

    def __init__(self, *, order: Literal[1, 2, 3, 4, 5] = 3, coefficient: float | None = None, bias: float = 0.0):
        super().__init__()
        start = 1.0 / 3.0 if coefficient is None else coefficient
        self.weight = nn.Parameter(torch.full((order,), start))
        self.bias = nn.Parameter(torch.full((1,), bias))

    def forward(self, x_F: Tensor) -> Tensor:
        y_F = torch.relu(x_F if x_F.dtype == torch.float64 else x_F.float())
        weight_r = self.weight.to(y_F.dtype)
        # Horner's rule: one multiplication and one addition an order.
        sum_F = weight_r[0] * y_F
        for weight in weight_r[1:]:
            sum_F = (sum_F + weight) * y_F
        return (sum_F + self.bias.to(y_F.dtype)).to(x_F.dtype)

    def cost(self) -> Cost:
        """Horner's rule forward and for the derivative; backward adds r sums for the coefficients."""
        r = len(self.weight)
        return Cost(branches=1, forward_flops=2 * r + 1, backward_flops=5 * r + 1, kept=r, kept_once=r, wide=True)
