"""Makes what is executed: an activation alone or its block, over buffers that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polybench.axes import LevelAxes
from polybench.build import activation, branches, executed, hidden_width
from polybench.ffn import FeedForward

# Dimension key: N tokens, D model width, F hidden width, G branches.


@dataclass(frozen=True)
class Arm:
    """One thing to execute: `forward()` gives an output, whose gradients go to `inputs`."""

    forward: Callable[[], Tensor]
    inputs: tuple[Tensor, ...]
    gradient: Tensor  # of the output; given, so that no reduction is timed
    module: nn.Module

    def once(self) -> None:
        torch.autograd.grad(self.forward(), self.inputs, self.gradient)


class Workshop:
    """Activations of one width read the very same input, so that none gets a better place."""

    def __init__(self, axes: LevelAxes, dtype: str, device: str):
        self.axes, self.device = axes, device
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._buffers: dict[tuple[int, bool], Tensor] = {}

    def arm(self, spec: str, backend: str) -> Arm:
        """Raises Unsupported when the backend cannot serve this machine."""
        D, gates = self.axes.d_model, branches(spec)
        if self.axes.level == "activation":
            F = hidden_width(D, gates)
            module = activation(spec).to(self.device, self.dtype)
            x_NxGF, dy_NxF = self._buffer(gates * F, True), self._buffer(F, False)
        else:
            module = FeedForward(D, spec, backend).initialise(0).to(self.device, self.dtype)
            x_NxGF, dy_NxF = self._buffer(D, True), self._buffer(D, False)
        # In a block the backend executes the activation only, as it does in a model.
        run = executed(module, backend) if self.axes.level == "activation" else module
        return Arm(lambda: run(x_NxGF), (x_NxGF, *module.parameters()), dy_NxF, module)

    def yardstick(self) -> Callable[[], object]:
        """A copy of the hidden tensor beside an activation, the first product beside a block."""
        D = self.axes.d_model
        if self.axes.level == "activation":
            source = self._buffer(4 * D, True).detach()
            target = torch.empty_like(source)
            return lambda: target.copy_(source)
        source, weight = self._buffer(D, True).detach(), torch.randn(D, 4 * D, device=self.device).to(self.dtype)
        return lambda: source @ weight

    def _buffer(self, width: int, is_input: bool) -> Tensor:
        if (width, is_input) not in self._buffers:
            data = torch.randn(self.axes.tokens, width, device=self.device).to(self.dtype)
            self._buffers[width, is_input] = data.requires_grad_(is_input)
        return self._buffers[width, is_input]
