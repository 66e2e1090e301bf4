"""SiLU, also called Swish: what SwiGLU gates with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations


@activations.register("silu", branches=1, source="arXiv:1606.08415; arXiv:1710.05941")
class SiLU(nn.Module):
    """x sigmoid(x)."""

    def forward(self, x_F: Tensor) -> Tensor:
        return torch.nn.functional.silu(x_F)

    def cost(self) -> Cost:
        """Backward forms the sigmoid anew: s (1 + x (1 - s)) times the output's gradient."""
        return Cost(branches=1, forward_flops=4, backward_flops=8, kept=1)
