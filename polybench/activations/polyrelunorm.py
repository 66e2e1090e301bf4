"""PolyReLUNorm: normalised powers of ReLU, an ablation of the paper's."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from polybench.activations.polynorm import PolyNorm
from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width, the row that is normalised.


@activations.register("polyrelunorm", branches=1, source="arXiv:2411.03884, its ablation of compositions")
class PolyReLUNorm(nn.Module):
    """sum of a_i relu(x)^i / norm(relu(x)^i) for i = 1..r, plus a_0, with learned a_i: polynorm(relu(x)).

    The options are those of `polynorm`, whose coefficients start as they do there.
    """

    def __init__(
        self,
        *,
        order: Literal[1, 2, 3, 4, 5] = 3,
        norm: Literal["rms", "l2"] = "rms",
        eps: NonNegativeFloat = 1e-6,
        coefficient: float | None = None,
        bias: float = 0.0,
    ):
        super().__init__()
        self.polynorm = PolyNorm(order=order, norm=norm, eps=eps, coefficient=coefficient, bias=bias)

    def forward(self, x_F: Tensor) -> Tensor:
        wide_F = x_F if x_F.dtype == torch.float64 else x_F.float()
        y_F: Tensor = self.polynorm(torch.relu(wide_F))
        return y_F.to(x_F.dtype)

    def cost(self) -> Cost:
        """PolyNorm's, and a comparison each way."""
        inner = self.polynorm.cost()
        return replace(inner, forward_flops=inner.forward_flops + 1, backward_flops=inner.backward_flops + 1)
