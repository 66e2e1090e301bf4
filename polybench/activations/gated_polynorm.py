"""PolyNorm inside of a gate, as the Motif models use it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from polybench.activations.polynorm import PolyNorm
from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side; r the order.


@activations.register("gated_polynorm", branches=2, source="arXiv:2508.09148; hf:Motif-Technologies/Motif-2.6B")
class GatedPolyNorm(nn.Module):
    """polynorm(gate) * value, gate and value being the two halves of the input.

    The options are those of `polynorm`, whose coefficients start as they do there. The product is taken
    in float32 too (float64 stays).
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

    def forward(self, x_2F: Tensor) -> Tensor:
        wide_2F = x_2F if x_2F.dtype == torch.float64 else x_2F.float()
        gate_F, value_F = wide_2F.chunk(2, dim=-1)
        y_F: Tensor = self.polynorm(gate_F) * value_F
        return y_F.to(x_2F.dtype)

    def cost(self) -> Cost:
        """PolyNorm's, the product, and kept for it: the value beside the gate, and polynorm(gate).

        Backward forms polynorm(gate) anew for the value's gradient, from the u_i that PolyNorm's own
        backward forms: 2 r operations; two products share out the output's gradient.
        """
        inner, r = self.polynorm.cost(), len(self.polynorm.weight)
        return Cost(
            branches=2,
            forward_flops=inner.forward_flops + 1,
            backward_flops=inner.backward_flops + 2 * r + 2,
            kept=inner.kept + 2,
            kept_rows=inner.kept_rows,
            kept_once=inner.kept_once,
            wide=True,
        )
