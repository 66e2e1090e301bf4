"""A small network with several hidden layers is trained to be a function, all points in every step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from polybench.errors import Diverged
from polybench.measure.annealing import annealed, warm_steps
from polybench.measure.approximation.targets import TARGETS
from polybench.measure.approximation_axes import ApproximationAxes, hidden_width
from polybench.measure.model.build import Chosen, generator
from polybench.measure.model.optimizer import adamw, update

# Dimension key: P points, D coordinates, F hidden width, G branches.

WARM_UP, CLIP = 0.05, 1.0  # share of the steps in which the rate rises; largest norm of the gradient


class Regressor(nn.Module):
    """(P, D) -> (P,): affine to G F numbers and the activation, several times, then affine to one."""

    def __init__(self, axes: ApproximationAxes, activation: Chosen):
        super().__init__()
        G, F = activation.branches, hidden_width(axes.parameters, axes.dimension, axes.depth, activation.branches)
        widths = [axes.dimension, *[F] * axes.depth]
        self.affine = nn.ModuleList(nn.Linear(before, G * F) for before in widths[:-1])
        self.activation = nn.ModuleList(activation.module() for _ in self.affine)
        self.out = nn.Linear(F, 1)
        self.__dict__["_calls"] = [activation.executed(module) for module in self.activation]

    def forward(self, x_PxD: Tensor) -> Tensor:
        hidden: Any = x_PxD
        for affine, call in zip(self.affine, self.__dict__["_calls"], strict=True):
            hidden = call(affine(hidden))
        out_P: Tensor = self.out(hidden)[:, 0]
        return out_P

    @torch.no_grad()
    def initialise(self, seed: int) -> Regressor:
        """U(-1/sqrt(n), 1/sqrt(n)) of n inputs, torch's own for affine maps, so that kinks lie all over [-1, 1]."""
        for name, parameter in self.named_parameters():
            if "activation" in name.split("."):
                continue
            weight = self.get_parameter(name.rpartition(".")[0] + ".weight")
            draws = torch.rand(parameter.shape, generator=generator(seed, name), dtype=torch.float64)
            parameter.copy_((2 * draws - 1) / math.sqrt(weight.shape[-1]))
        return self


class Fit:
    """A regressor, its points and its optimizer."""

    def __init__(self, axes: ApproximationAxes, activation: Chosen, rate: float, seed: int, device: str, dtype: str):
        self.axes, self.rate, self._function = axes, rate, TARGETS[axes.target]
        self._of = {"device": device, "dtype": getattr(torch, dtype)}
        self.model = Regressor(axes, activation).initialise(seed).to(**self._of)
        draws = torch.rand(axes.points, axes.dimension, generator=generator(seed, "points"), dtype=torch.float64)
        x_PxD = 2 * draws - 1
        self._x_PxD, self._y_P = x_PxD.to(**self._of), self._function(x_PxD).to(**self._of)
        self._optimizer = adamw(self.model, rate, weight_decay=0.0)

    def steps(self) -> Iterator[float]:
        """Take every step of the mean squared error; the loss before each. Raises Diverged when it is no number."""
        warm = warm_steps(WARM_UP, self.axes.steps)
        for step in range(self.axes.steps):
            for group in self._optimizer.param_groups:
                group["lr"] = self.rate * annealed(step, self.axes.steps, warm)
            loss = (self.model(self._x_PxD) - self._y_P).square().mean()
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(f"the loss became {value} at step {step + 1} of {self.axes.steps}")
            torch.autograd.backward(loss)
            update(self._optimizer, CLIP)
            yield value

    @torch.no_grad()
    def errors(self, x_PxD: Tensor) -> tuple[float, float]:
        """(L2, largest) error at points of a grid, each over that norm of the function itself."""
        exact_P = self._function(x_PxD)
        error_P = self.model(x_PxD.to(**self._of)).cpu().double() - exact_P
        l2 = (error_P.square().mean() / exact_P.square().mean()).sqrt()
        return float(l2), float(error_P.abs().max() / exact_P.abs().max())
