"""Functions on [-1, 1]^d that networks are trained to be, and the points at which they are held against them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Dimension key: P points, D coordinates.


def _sines(x_PxD: Tensor) -> Tensor:
    """Three frequencies, the higher the fainter."""
    waves_PxD = sum(torch.sin(k * math.pi * x_PxD + i) / 2**i for i, k in enumerate((1, 3, 7)))
    return waves_PxD.prod(-1)


def _runge(x_PxD: Tensor) -> Tensor:
    """1 / (1 + 25 |x|^2): analytic, with poles beside the interval."""
    return 1 / (1 + 25 * x_PxD.square().sum(-1))


def _cusp(x_PxD: Tensor) -> Tensor:
    """|x|^(3/2): its second derivative is not bounded at 0."""
    return x_PxD.square().sum(-1) ** 0.75


def _quadratic(x_PxD: Tensor) -> Tensor:
    """x^2, of two coordinates x y: two or four units of PolyReLU are exactly that."""
    return x_PxD[:, 0] * x_PxD[:, -1]


TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "sines": _sines, "runge": _runge, "cusp": _cusp, "quadratic": _quadratic,
}  # fmt: skip


def grid(dimension: int, steps: int) -> Tensor:
    """(steps + 1)^d points of [-1, 1]^d in equal steps, the corners among them; float64."""
    line = torch.linspace(-1, 1, steps + 1, dtype=torch.float64)
    return torch.cartesian_prod(*[line] * dimension).reshape(-1, dimension)
