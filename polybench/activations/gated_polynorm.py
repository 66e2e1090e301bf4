"""PolyNorm inside of a gate, as the Motif models use it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from polybench.activations.polynorm import PolyNorm
from polybench.cost import Cost
from polybench.errors import among
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side; r the order.


_PRESETS = {"motif-2.6b": ("plain", 1.0, None, None), "motif-3": ("sigmoid", 0.5, 0.5, 1e6)}


@activations.register(
    "gated_polynorm",
    branches=2,
    source="arXiv:2508.09148; hf:Motif-Technologies/Motif-2.6B; MotifTechnologies/vllm motif_docs.md",
    used_by="Motif-2.6B, Motif-3",
)
class GatedPolyNorm(nn.Module):
    """output_scale (sum of w_i gate^i / norm(gate^i) for i = 1..r, plus b) value.

    The options of `polynorm` are the same here, and the coefficients start as they do there. w_i is what is learned,
    or its sigmoid (`weight`); b is held within +-`bias_clamp`, gate and value within +-`hidden_clamp` first, if these
    are above zero. `preset` sets the four to what that model was trained with; each that is given stands. The product
    is taken in float32 too (float64 stays).
    """

    def __init__(
        self,
        *,
        order: Literal[1, 2, 3, 4, 5] = 3,
        norm: Literal["rms", "l2"] = "rms",
        eps: NonNegativeFloat = 1e-6,
        coefficient: float | None = None,
        bias: float = 0.0,
        preset: Literal["motif-2.6b", "motif-3"] = "motif-2.6b",
        weight: Literal["plain", "sigmoid"] | None = None,
        output_scale: float | None = None,
        bias_clamp: NonNegativeFloat | None = None,
        hidden_clamp: NonNegativeFloat | None = None,
    ):
        among("preset", preset, *_PRESETS)
        if weight is not None:
            among("weight", weight, "plain", "sigmoid")
        super().__init__()
        self.polynorm = PolyNorm(order=order, norm=norm, eps=eps, coefficient=coefficient, bias=bias)
        how, scale, most_bias, most = _PRESETS[preset]
        self.sigmoid = (weight or how) == "sigmoid"
        self.scale = scale if output_scale is None else output_scale
        self.bias_clamp = most_bias if bias_clamp is None else bias_clamp
        self.hidden_clamp = most if hidden_clamp is None else hidden_clamp

    def forward(self, x_2F: Tensor) -> Tensor:
        wide_2F = x_2F if x_2F.dtype == torch.float64 else x_2F.float()
        if self.hidden_clamp:
            wide_2F = wide_2F.clamp(-self.hidden_clamp, self.hidden_clamp)
        gate_F, value_F = wide_2F.chunk(2, dim=-1)
        weight_r, bias_1 = (p.to(wide_2F.dtype) for p in (self.polynorm.weight, self.polynorm.bias))
        if self.sigmoid:
            weight_r = torch.sigmoid(weight_r)
        if self.bias_clamp:
            bias_1 = bias_1.clamp(-self.bias_clamp, self.bias_clamp)
        y_F = self.polynorm.terms(gate_F, weight_r) + bias_1
        if self.scale != 1:
            y_F = self.scale * y_F
        return (y_F * value_F).to(x_2F.dtype)

    def cost(self) -> Cost:
        """PolyNorm's, the product, and kept for it: the value beside the gate, and polynorm(gate).

        Backward forms polynorm(gate) anew for the value's gradient, from the u_i that PolyNorm's own
        backward forms: 2 r operations; two products share out the output's gradient. A clamp of both halves keeps
        what it was given, the sigmoid its result.
        """
        inner, r = self.polynorm.cost(), len(self.polynorm.weight)
        scaled, clamped = int(self.scale != 1), int(bool(self.hidden_clamp))
        return Cost(
            branches=2,
            forward_flops=inner.forward_flops + 1 + scaled + 4 * clamped,
            backward_flops=inner.backward_flops + 2 * r + 2 + scaled + 6 * clamped,
            kept=inner.kept + 2 + 2 * clamped,
            kept_rows=inner.kept_rows,
            kept_once=(0 if self.sigmoid else r) + int(bool(self.bias_clamp)),
            kept_made=r if self.sigmoid else 0,
            wide=True,
        )
