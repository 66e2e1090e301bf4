"""What becomes of an activation when its input is scaled by a positive number."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Dimension key: N rows, F hidden width, G branches.


def scale_change(call: Callable[[Tensor], Tensor], x_NxGF: Tensor, scale: float) -> float:
    """|f(c x) - f(x)| / |f(x)| over all rows."""
    with torch.no_grad():
        plain_NxF, scaled_NxF = call(x_NxGF), call(scale * x_NxGF)
    return float((scaled_NxF - plain_NxF).norm() / plain_NxF.norm())


def radial_share(call: Callable[[Tensor], Tensor], x_NxGF: Tensor, dy_NxF: Tensor) -> float:
    """The largest |x . dL/dx| / (|x| |dL/dx|) of a row, L being the sum of dy y.

    Where f(c x) = f(x) for every c > 0 it is 0: the gradient is perpendicular to its row (Euler).
    """
    x_NxGF = x_NxGF.clone().requires_grad_()
    (dx_NxGF,) = torch.autograd.grad(call(x_NxGF), x_NxGF, dy_NxF)
    x_NxGF = x_NxGF.detach()
    along_N = (x_NxGF * dx_NxGF).sum(-1).abs()
    size_N = x_NxGF.norm(dim=-1) * dx_NxGF.norm(dim=-1)
    return float(torch.where(size_N == 0, 0.0, along_N / size_N).max())  # a row without a gradient has no share
