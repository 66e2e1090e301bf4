"""GEGLU, the gated activation of T5 v1.1 and Gemma."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.errors import among
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side.


@activations.register("geglu", branches=2, source="arXiv:2002.05202", used_by="T5 v1.1, Gemma")
class GEGLU(nn.Module):
    """gelu(gate) * value, gate and value being the two halves of the input.

    `approximate="none"` is the formula of the paper, by the error function; `"tanh"` is what T5 v1.1
    and Gemma train with.
    """

    def __init__(self, *, approximate: Literal["none", "tanh"] = "none"):
        among("approximate", approximate, "none", "tanh")
        super().__init__()
        self.approximate = approximate

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        return torch.nn.functional.gelu(gate_F, approximate=self.approximate) * value_F

    def cost(self) -> Cost:
        """Eager keeps both halves, which are one tensor, and gelu(gate)."""
        forward, backward = (6, 14) if self.approximate == "none" else (10, 21)
        return Cost(branches=2, forward_flops=forward, backward_flops=backward, kept=3)
