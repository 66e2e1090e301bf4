"""PolyReLU and PolyPReLU: polynomials of a kinked line, by Horner's rule."""

from __future__ import annotations

import torch
from torch import Tensor

from polybench.kernels.kernel import Kernel

# Dimension key: N rows, F hidden width, r order.


def _value_and_slope(z_NxF: Tensor, weight_r: Tensor) -> tuple[Tensor, Tensor]:
    """sum of a_i z^i for i = 1..r and its derivative to z; `weight_r` holds a_r first. No infinite z meets a zero."""
    inner_NxF, slope_NxF = weight_r[0].expand_as(z_NxF), len(weight_r) * weight_r[0].expand_as(z_NxF)
    for below, weight in zip(range(len(weight_r) - 1, 0, -1), weight_r[1:], strict=True):
        inner_NxF = inner_NxF * z_NxF + weight
        slope_NxF = slope_NxF * z_NxF + below * weight
    return inner_NxF * z_NxF, slope_NxF


def _moments(dy_NxF: Tensor, z_NxF: Tensor, order: int) -> Tensor:
    """sum(dy z^i) for i = r..1."""
    sums = []
    for _ in range(order):
        dy_NxF = dy_NxF * z_NxF
        sums.append(dy_NxF.sum())
    return torch.stack(sums[::-1])


def _polyrelu(x_NxF: Tensor, weight_r: Tensor, bias_1: Tensor) -> Tensor:
    return _value_and_slope(torch.relu(x_NxF), weight_r)[0] + bias_1


def _polyrelu_backward(dy_NxF: Tensor, x_NxF: Tensor, weight_r: Tensor, bias_1: Tensor) -> tuple[Tensor, ...]:
    z_NxF = torch.relu(x_NxF)
    dx_NxF = torch.where(x_NxF <= 0, 0.0, dy_NxF * _value_and_slope(z_NxF, weight_r)[1])
    return dx_NxF, _moments(dy_NxF, z_NxF, len(weight_r)), dy_NxF.sum().reshape(1)


def _polyprelu(x_NxF: Tensor, weight_r: Tensor, bias_1: Tensor, slope_1: Tensor) -> Tensor:
    return _value_and_slope(torch.where(x_NxF > 0, x_NxF, slope_1 * x_NxF), weight_r)[0] + bias_1


def _polyprelu_backward(
    dy_NxF: Tensor, x_NxF: Tensor, weight_r: Tensor, bias_1: Tensor, slope_1: Tensor
) -> tuple[Tensor, ...]:
    z_NxF = torch.where(x_NxF > 0, x_NxF, slope_1 * x_NxF)
    dz_NxF = dy_NxF * _value_and_slope(z_NxF, weight_r)[1]
    dx_NxF = torch.where(x_NxF > 0, dz_NxF, slope_1 * dz_NxF)
    dslope = torch.where(x_NxF > 0, 0.0, dz_NxF * x_NxF).sum().reshape(1)
    return dx_NxF, _moments(dy_NxF, z_NxF, len(weight_r)), dy_NxF.sum().reshape(1), dslope


POLYRELU = Kernel("polyrelu", 1, ("weight", "bias"), (), _polyrelu, _polyrelu_backward)
POLYPRELU = Kernel("polyprelu", 1, ("weight", "bias", "slope"), (), _polyprelu, _polyprelu_backward)
