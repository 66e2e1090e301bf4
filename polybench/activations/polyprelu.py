"""PolyPReLU: a learned polynomial of PReLU, an ablation of the paper's."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; r the order of the polynomial.


@activations.register("polyprelu", branches=1, source="arXiv:2411.03884, its ablation of compositions")
class PolyPReLU(nn.Module):
    """sum of a_i prelu(x)^i for i = 0..r, with learned a_i and a learned slope below zero.

    `weight` and `bias` are those of `polyrelu`. Powers and sums are taken in float32 (float64 stays).
    """

    def __init__(
        self,
        *,
        order: Literal[1, 2, 3, 4, 5] = 3,
        coefficient: float | None = None,
        bias: float = 0.0,
        slope: float = 0.25,
    ):
        super().__init__()
        start = 1.0 / 3.0 if coefficient is None else coefficient
        self.weight = nn.Parameter(torch.full((order,), start))
        self.bias = nn.Parameter(torch.full((1,), bias))
        self.slope = nn.Parameter(torch.full((1,), slope))

    def forward(self, x_F: Tensor) -> Tensor:
        wide_F = x_F if x_F.dtype == torch.float64 else x_F.float()
        weight_r = self.weight.to(wide_F.dtype)
        with torch.autocast(x_F.device.type, enabled=False):  # which would take prelu in bfloat16
            y_F = torch.nn.functional.prelu(wide_F, self.slope.to(wide_F.dtype))
        sum_F = weight_r[0] * y_F
        for weight in weight_r[1:]:
            sum_F = (sum_F + weight) * y_F
        return (sum_F + self.bias.to(wide_F.dtype)).to(x_F.dtype)

    def cost(self) -> Cost:
        """As PolyReLU, and kept for PReLU the input; backward has a sum for the slope too."""
        r = len(self.weight)
        return Cost(
            branches=1, forward_flops=2 * r + 2, backward_flops=5 * r + 5, kept=r + 1, kept_once=r + 1, wide=True
        )
