"""GELU, by the error function or by its tanh approximation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.errors import among
from polybench.registry import activations


@activations.register("gelu", branches=1, source="arXiv:1606.08415", used_by="GPT-2, BERT")
class GELU(nn.Module):
    """x Phi(x) with Phi the normal distribution, exact or with tanh."""

    def __init__(self, *, approximate: Literal["none", "tanh"] = "none"):
        among("approximate", approximate, "none", "tanh")
        super().__init__()
        self.approximate = approximate

    def forward(self, x_F: Tensor) -> Tensor:
        return torch.nn.functional.gelu(x_F, approximate=self.approximate)

    def cost(self) -> Cost:
        """Backward forms the distribution anew, and with erf the density beside it."""
        forward, backward = (5, 11) if self.approximate == "none" else (9, 18)
        return Cost(branches=1, forward_flops=forward, backward_flops=backward, kept=1)
