"""xIELU: a learned quadratic above zero, an integrated ELU below."""

from __future__ import annotations

import math

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width.


@activations.register(
    "xielu", branches=1, source="arXiv:2411.13010; ml-explore/mlx-lm models/activations.py", used_by="Apertus"
)
class XIELU(nn.Module):
    """a_p x^2 + beta x above zero, a_n (exp(x) - 1 - x) + beta x below, with learned a_p > 0 and a_n > beta.

    a_p = softplus(p) and a_n = beta + softplus(n); p and n are learned, in `alpha_p` and `alpha_n`, and start
    where a_p is `positive` and a_n is `negative`. Computed in float32 (float64 stays). Code that is shipped asks
    expm1 for min(x, -1e-6), which differs from this by at most 1e-6 a_n, between -1e-6 and 0.

    Raises:
        ValueError: `negative` is not above `beta`.
    """

    def __init__(self, *, positive: PositiveFloat = 0.8, negative: PositiveFloat = 0.8, beta: NonNegativeFloat = 0.5):
        super().__init__()
        if negative <= beta:
            raise ValueError(f"a_n starts at {negative:g}, which softplus cannot reach above beta = {beta:g}")
        self.beta = beta
        self.alpha_p = nn.Parameter(torch.tensor([math.log(math.expm1(positive))]))
        self.alpha_n = nn.Parameter(torch.tensor([math.log(math.expm1(negative - beta))]))

    def forward(self, x_F: Tensor) -> Tensor:
        wide_F = x_F if x_F.dtype == torch.float64 else x_F.float()
        a_p_1 = torch.nn.functional.softplus(self.alpha_p.to(wide_F.dtype))
        a_n_1 = self.beta + torch.nn.functional.softplus(self.alpha_n.to(wide_F.dtype))
        below_F = wide_F.clamp(max=0)  # each part is 0 on the other's side
        curve_F = a_p_1 * torch.relu(wide_F).square() + a_n_1 * (torch.expm1(below_F) - below_F)
        return (curve_F + self.beta * wide_F).to(x_F.dtype)

    def cost(self) -> Cost:
        """Eager keeps the input, relu of it and its square, expm1, what a_n multiplies, and both softplus."""
        return Cost(branches=1, forward_flops=11, backward_flops=15, kept=5, kept_once=2, kept_made=2, wide=True)
