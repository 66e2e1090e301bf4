"""The shape of a decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Shape:
    layers: int
    d_model: int
    heads: int
    ffn_width: int | None = None
    tied: bool = True
    qk_norm: bool = False
    experts: int = 0
    top_k: int = 2
    expert_coefficients: Literal["shared", "own"] = "shared"

    def axes(self) -> dict[str, Any]:
        return {
            "layers": self.layers,
            "d_model": self.d_model,
            "heads": self.heads,
            "tied": self.tied,
            "seq_len": 64,
            "batch": 16,
            "lr": 3e-3,
        }


PRESETS: dict[str, Shape] = {}


def of_depth(depth: int) -> Shape:
    return Shape(depth, 32 * depth, max(1, depth // 2))
