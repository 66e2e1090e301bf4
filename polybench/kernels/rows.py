"""PolyNorm and its kin: sums of powers of x, each over its norm along the row.

With s = a power of two >= max|x| / 2 of the row, or 1, z = x / s and r_p = rsqrt(mean(z^2p) + eps / s^2p) (`l2`: the
sum for the mean), u_p = r_p z^p is x^p / norm(x^p), and no power overflows. Backward is grouped so that r_p is never
cubed: dx = sum over p of w_p p r_p z^(p-1) / s (dy - u_p mean(dy u_p)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from polybench.kernels.kernel import Kernel

# Dimension key: N rows, F hidden width, r order; 1 a column that is the same along the row.


def _terms(x_NxF: Tensor, order: int, eps: float, l2: float) -> Iterator[tuple[Tensor, Tensor]]:
    """u_p and p r_p z^(p-1) / s, for p = 1..r."""
    largest_Nx1 = x_NxF.abs().amax(-1, keepdim=True)
    most = math.frexp(torch.finfo(x_NxF.dtype).max)[1] - 1  # the next power of two is infinite
    s_Nx1 = torch.exp2(torch.ceil(torch.log2(largest_Nx1.clamp(min=1.0))).clamp(max=most))
    s_Nx1 = torch.where(torch.isfinite(largest_Nx1), s_Nx1, torch.ones_like(s_Nx1))
    z_NxF = x_NxF / s_Nx1
    below_NxF, scale_Nx1 = torch.ones_like(z_NxF), torch.ones_like(s_Nx1)
    for p in range(1, order + 1):
        power_NxF = below_NxF * z_NxF
        scale_Nx1 = scale_Nx1 / s_Nx1  # of z^p beside x^p
        square_NxF = power_NxF.square()
        size_Nx1 = square_NxF.sum(-1, keepdim=True) if l2 else square_NxF.mean(-1, keepdim=True)
        r_Nx1 = torch.rsqrt(size_Nx1 + eps * scale_Nx1.square())
        yield power_NxF * r_Nx1, p * r_Nx1 / s_Nx1 * below_NxF
        below_NxF = power_NxF


def _held(u_NxF: Tensor, p: int, piecewise: float) -> Tensor:
    return torch.relu(u_NxF) if piecewise and p > 1 and p % 2 else u_NxF


def _sum(x_NxF: Tensor, weight_r: Tensor, bias_1: Tensor, eps: float, l2: float, piecewise: float) -> Tensor:
    order, y_NxF = len(weight_r), torch.zeros_like(x_NxF) + bias_1
    for p, (u_NxF, _) in enumerate(_terms(x_NxF, order, eps, l2), start=1):
        y_NxF = y_NxF + weight_r[order - p] * _held(u_NxF, p, piecewise)
    return y_NxF


def _sum_backward(
    dy_NxF: Tensor, x_NxF: Tensor, weight_r: Tensor, eps: float, l2: float, piecewise: float
) -> tuple[Tensor, Tensor, Tensor]:
    order, dx_NxF, dweight_r = len(weight_r), torch.zeros_like(x_NxF), torch.zeros_like(weight_r)
    for p, (u_NxF, slope_NxF) in enumerate(_terms(x_NxF, order, eps, l2), start=1):
        over_NxF = dy_NxF * (u_NxF > 0) if piecewise and p > 1 and p % 2 else dy_NxF
        along_NxF = over_NxF * u_NxF
        mean_Nx1 = along_NxF.sum(-1, keepdim=True) if l2 else along_NxF.mean(-1, keepdim=True)
        dx_NxF = dx_NxF + weight_r[order - p] * slope_NxF * (over_NxF - u_NxF * mean_Nx1)
        dweight_r[order - p] = along_NxF.sum()
    return dx_NxF, dweight_r, dy_NxF.sum().reshape(1)


def _polynorm(
    x_NxF: Tensor, weight_r: Tensor, bias_1: Tensor, eps: float, l2: float, piecewise: float, relu: float
) -> Tensor:
    return _sum(torch.relu(x_NxF) if relu else x_NxF, weight_r, bias_1, eps, l2, piecewise)


def _polynorm_backward(
    dy_NxF: Tensor,
    x_NxF: Tensor,
    weight_r: Tensor,
    bias_1: Tensor,
    eps: float,
    l2: float,
    piecewise: float,
    relu: float,
) -> tuple[Tensor, ...]:
    if not relu:
        return _sum_backward(dy_NxF, x_NxF, weight_r, eps, l2, piecewise)
    dx_NxF, *others = _sum_backward(dy_NxF, torch.relu(x_NxF), weight_r, eps, l2, piecewise)
    return torch.where(x_NxF <= 0, 0.0, dx_NxF), *others


def _gated(x_Nx2F: Tensor, weight_r: Tensor, bias_1: Tensor, eps: float, l2: float, clamp: float) -> Tensor:
    gate_NxF, value_NxF = (x_Nx2F.clamp(-clamp, clamp) if clamp else x_Nx2F).chunk(2, dim=-1)
    return _sum(gate_NxF, weight_r, bias_1, eps, l2, 0.0) * value_NxF


def _gated_backward(
    dy_NxF: Tensor, x_Nx2F: Tensor, weight_r: Tensor, bias_1: Tensor, eps: float, l2: float, clamp: float
) -> tuple[Tensor, ...]:
    gate_NxF, value_NxF = (x_Nx2F.clamp(-clamp, clamp) if clamp else x_Nx2F).chunk(2, dim=-1)
    dgate_NxF, *others = _sum_backward(dy_NxF * value_NxF, gate_NxF, weight_r, eps, l2, 0.0)
    dx_Nx2F = torch.cat([dgate_NxF, dy_NxF * _sum(gate_NxF, weight_r, bias_1, eps, l2, 0.0)], dim=-1)
    return torch.where(x_Nx2F.abs() <= clamp, dx_Nx2F, 0.0) if clamp else dx_Nx2F, *others


# `piecewise`: odd powers above the first are left out where x is negative; `relu`: of relu(x).
POLYNORM = Kernel("polynorm", 1, ("weight", "bias"), ("eps", "l2", "piecewise", "relu"), _polynorm, _polynorm_backward)
# (sum of w_p u_p(gate) + bias) value; both halves within +-`clamp` first where that is above 0.
GATED_POLYNORM = Kernel("gated_polynorm", 2, ("weight", "bias"), ("eps", "l2", "clamp"), _gated, _gated_backward)
