"""The feed-forward block every activation sits in, at equal parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from polybench.measure.model.build import Call, activation, branches, executed, normal_
from polybench.measure.shape import hidden_width

# Dimension key: B batch, T time, D model width, F hidden width, G branches of the activation.


class FeedForward(nn.Module):
    """w_out(activation(w_in(x))) without biases: D -> G*F -> F -> D; F gives equal parameters unless it is given."""

    def __init__(self, d_model: int, spec: str, backend: str = "eager", width: int | None = None):
        super().__init__()
        gates = branches(spec)
        width = width or hidden_width(d_model, gates)
        self.w_in = nn.Linear(d_model, gates * width, bias=False)
        self.activation = activation(spec)
        self.w_out = nn.Linear(width, d_model, bias=False)
        # Kept out of the module's attributes that torch walks: it wraps the activation itself.
        self.__dict__["_run"] = executed(self.activation, backend)

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        out_BxTxD: Tensor = self.w_out(self.__dict__["_run"](self.w_in(x_BxTxD)))
        return out_BxTxD

    @property
    def executed(self) -> tuple[nn.Module, Call, int]:
        """The activation, the call that executes it by the backend, and the width G*F of its input."""
        return self.activation, self.__dict__["_run"], self.w_in.out_features

    @torch.no_grad()
    def initialise(self, seed: int, prefix: str = "ffn", layers: int = 1) -> FeedForward:
        """Normal weights of std sqrt(2 / (5 D)), the output over sqrt(2 L) (arXiv:2411.03884's code)."""
        std = math.sqrt(2 / (5 * self.w_in.in_features))
        normal_(self.w_in.weight, std, seed, f"{prefix}.w_in")
        normal_(self.w_out.weight, std / math.sqrt(2 * layers), seed, f"{prefix}.w_out")
        return self
