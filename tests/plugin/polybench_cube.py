"""An activation of one's own: this file and an entry point are all it takes."""

from typing import Literal

import torch
from torch import Tensor, nn

from polybench.registry import activations


@activations.register("cube", branches=2, source="tests/plugin")
class Cube(nn.Module):
    """tanh(gate)^3 times value, with a learned scale."""

    def __init__(self, *, sign: Literal[1, -1] = 1):
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), float(sign)))

    def forward(self, x_2F: Tensor) -> Tensor:
        gate_F, value_F = x_2F.chunk(2, dim=-1)
        return self.scale * torch.tanh(gate_F) ** 3 * value_F
