"""SwiGLU whose gate and value are clamped, as gpt-oss and DeepSeek-V4 use it."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.errors import among
from polybench.registry import activations

# Dimension key: F hidden width; 2F gate and value side by side.

_PRESETS = {"gpt-oss": (1.702, 7.0, 1.0), "deepseek-v4": (1.0, 10.0, 0.0)}  # alpha, limit, shift


@activations.register(
    "swiglu_clamped",
    branches=2,
    source="hf:openai/gpt-oss-20b; NVIDIA/TransformerEngine #2161, #3315",
    used_by="gpt-oss, DeepSeek-V4",
)
class ClampedSwiGLU(nn.Module):
    """gate sigmoid(alpha gate) (value + shift), gate at most `limit`, value within +-`limit`.

    `preset` sets alpha, limit and shift to what that model was trained with; each that is given stands.
    """

    def __init__(
        self,
        *,
        preset: Literal["gpt-oss", "deepseek-v4"] = "gpt-oss",
        alpha: PositiveFloat | None = None,
        limit: PositiveFloat | None = None,
        shift: float | None = None,
    ):
        among("preset", preset, *_PRESETS)
        super().__init__()
        given = zip((alpha, limit, shift), _PRESETS[preset], strict=True)
        self.alpha, self.limit, self.shift = (theirs if mine is None else mine for mine, theirs in given)

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        gate_F = gate_F.clamp(max=self.limit)
        value_F = value_F.clamp(-self.limit, self.limit)
        return gate_F * torch.sigmoid(self.alpha * gate_F) * (value_F + self.shift)

    def cost(self) -> Cost:
        """Eager keeps both halves, one tensor, the clamped gate, its sigmoid, their product, value + shift."""
        return Cost(branches=2, forward_flops=10, backward_flops=18, kept=6)
