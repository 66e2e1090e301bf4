"""ReLU and its square."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.registry import activations

# Dimension key: F hidden width of the feed-forward block; ... any leading dimensions.


@activations.register("relu", branches=1, source="arXiv:1803.08375", used_by="OPT, T5")
class ReLU(nn.Module):
    """max(x, 0), the simplest and cheapest."""

    def forward(self, x_F: Tensor) -> Tensor:
        return torch.relu(x_F)

    def cost(self) -> Cost:
        return Cost(branches=1, forward_flops=1, backward_flops=1, kept=1)


@activations.register("relu2", branches=1, source="arXiv:2109.08668", used_by="Nemotron-4")
class SquaredReLU(nn.Module):
    """max(x, 0)^2, the cheap strong baseline of Primer."""

    def forward(self, x_F: Tensor) -> Tensor:
        y_F = torch.relu(x_F)
        return y_F * y_F  # a power would be float32 under autocast

    def cost(self) -> Cost:
        return Cost(branches=1, forward_flops=2, backward_flops=3, kept=1)
