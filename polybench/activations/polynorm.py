"""PolyNorm: a learned sum of normalised powers."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.errors import among
from polybench.registry import activations

# Dimension key: F hidden width, the row that is normalised; r the order.


@activations.register("polynorm", branches=1, source="arXiv:2411.03884; BryceZhuo/PolyCom@0ed8ad4")
class PolyNorm(nn.Module):
    """sum of a_i x^i / norm(x^i) for i = 1..r, plus a_0, with learned a_i.

    `norm="rms"` is what the authors trained, rsqrt(mean(x^2) + eps); `norm="l2"` is the formula of
    the paper, smaller by sqrt(F). `weight` holds a_r first and a_1 last, the order of the official
    checkpoints; `bias` is a_0. `negative="square"` leaves out the odd powers above the first where x is negative.
    Powers and sums are taken in float32 (float64 stays).
    """

    def __init__(
        self,
        *,
        order: Literal[1, 2, 3, 4, 5] = 3,
        norm: Literal["rms", "l2"] = "rms",
        eps: NonNegativeFloat = 1e-6,
        coefficient: float | None = None,
        bias: float = 0.0,
        negative: Literal["all", "square"] = "all",
    ):
        among("norm", norm, "rms", "l2")
        among("negative", negative, "all", "square")
        super().__init__()
        start = 1.0 / 3.0 if coefficient is None else coefficient
        self.norm, self.eps, self.piecewise = norm, eps, negative == "square"
        self.weight = nn.Parameter(torch.full((order,), start))
        self.bias = nn.Parameter(torch.full((1,), bias))

    def forward(self, x_F: Tensor) -> Tensor:
        wide_F = x_F if x_F.dtype == torch.float64 else x_F.float()
        sum_F = self.terms(wide_F, self.weight.to(wide_F.dtype))
        return (sum_F + self.bias.to(wide_F.dtype)).to(x_F.dtype)

    def terms(self, x_F: Tensor, weight_r: Tensor) -> Tensor:
        """The sum without a_0, of an input that is wide enough, with these coefficients."""
        order = len(weight_r)
        power_F = x_F
        sum_F = weight_r[order - 1] * self._normalised(power_F)
        for i in range(2, order + 1):
            power_F = power_F * x_F
            sum_F = sum_F + weight_r[order - i] * self._normalised(power_F, self.piecewise and i % 2 == 1)
        return sum_F

    def cost(self) -> Cost:
        """Eager keeps every power, every normalised power and a norm a row for each.

        Least operations: forward r - 1 powers, r sums of squares, r weighted terms. Backward forms the
        powers and u_i = x^i / norm anew, then sum(dy u_i), dy - u_i mean(dy u_i), and the chain to x. What is
        left out where x is negative takes a comparison each way, and keeps its result in place of u_i.
        """
        r = len(self.weight)
        compared = (r - 1) // 2 if self.piecewise else 0
        return Cost(
            branches=1,
            forward_flops=5 * r - 1 + compared,
            backward_flops=9 * r - 1 + compared,
            kept=2 * r,
            kept_rows=r,
            kept_once=r,
            wide=True,
        )

    def _normalised(self, x_F: Tensor, positive: bool = False) -> Tensor:
        square_F = x_F * x_F
        size_1 = square_F.mean(-1, keepdim=True) if self.norm == "rms" else square_F.sum(-1, keepdim=True)
        normal_F = x_F * torch.rsqrt(size_1 + self.eps)
        return torch.relu(normal_F) if positive else normal_F
