"""Activations of one number, and of a gate and a value: f(x), and its derivative by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from polybench.kernels.kernel import Kernel

# Dimension key: N rows, F hidden width.

Curve = Callable[..., tuple[Tensor, Tensor]]  # (x_NxF, *constants) -> f(x), f'(x)


def _relu2(x_NxF: Tensor) -> tuple[Tensor, Tensor]:
    above_NxF = torch.relu(x_NxF)
    return above_NxF.square(), 2 * above_NxF


def _gelu(x_NxF: Tensor) -> tuple[Tensor, Tensor]:
    phi_NxF = 0.5 * torch.erfc(-math.sqrt(0.5) * x_NxF)
    density_NxF = torch.exp(-0.5 * x_NxF.square()) / math.sqrt(2 * math.pi)
    return x_NxF * phi_NxF, phi_NxF + x_NxF * density_NxF


def _gelu_tanh(x_NxF: Tensor) -> tuple[Tensor, Tensor]:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), arXiv:1606.08415."""
    scale, cubic = math.sqrt(2 / math.pi), 0.044715
    tanh_NxF = torch.tanh(scale * x_NxF * (1 + cubic * x_NxF.square()))
    inner_NxF = scale * (1 + 3 * cubic * x_NxF.clamp(-16, 16).square())  # beyond, tanh is 1 and this might overflow
    slope_NxF = 0.5 * (1 + tanh_NxF) + 0.5 * x_NxF * (1 - tanh_NxF) * (1 + tanh_NxF) * inner_NxF
    return 0.5 * x_NxF * (1 + tanh_NxF), slope_NxF


def _silu(x_NxF: Tensor) -> tuple[Tensor, Tensor]:
    sigmoid_NxF = torch.sigmoid(x_NxF)
    return x_NxF * sigmoid_NxF, sigmoid_NxF * (1 + x_NxF * torch.sigmoid(-x_NxF))


def _unary(name: str, curve: Curve, *constants: str) -> Kernel:
    def backward(dy_NxF: Tensor, x_NxF: Tensor, *values: float) -> tuple[Tensor, ...]:
        return (dy_NxF * curve(x_NxF, *values)[1],)

    return Kernel(name, 1, (), constants, lambda x_NxF, *values: curve(x_NxF, *values)[0], backward)


def _gated(name: str, curve: Curve) -> Kernel:
    """curve(gate) * value, gate and value being the two halves of the input."""

    def forward(x_Nx2F: Tensor) -> Tensor:
        gate_NxF, value_NxF = x_Nx2F.chunk(2, dim=-1)
        return curve(gate_NxF)[0] * value_NxF

    def backward(dy_NxF: Tensor, x_Nx2F: Tensor) -> tuple[Tensor, ...]:
        gate_NxF, value_NxF = x_Nx2F.chunk(2, dim=-1)
        y_NxF, slope_NxF = curve(gate_NxF)
        return (torch.cat([dy_NxF * value_NxF * slope_NxF, dy_NxF * y_NxF], dim=-1),)

    return Kernel(name, 2, (), (), forward, backward)


def _clamped(x_Nx2F: Tensor, alpha: float, limit: float, shift: float) -> Tensor:
    gate_NxF, value_NxF = x_Nx2F.chunk(2, dim=-1)
    gate_NxF = gate_NxF.clamp(max=limit)
    return gate_NxF * torch.sigmoid(alpha * gate_NxF) * (value_NxF.clamp(-limit, limit) + shift)


def _clamped_backward(dy_NxF: Tensor, x_Nx2F: Tensor, alpha: float, limit: float, shift: float) -> tuple[Tensor, ...]:
    gate_NxF, value_NxF = x_Nx2F.chunk(2, dim=-1)
    held_NxF = gate_NxF.clamp(max=limit)
    sigmoid_NxF = torch.sigmoid(alpha * held_NxF)
    slope_NxF = sigmoid_NxF * (1 + alpha * held_NxF * torch.sigmoid(-alpha * held_NxF))
    dgate_NxF = dy_NxF * (value_NxF.clamp(-limit, limit) + shift) * slope_NxF
    dgate_NxF = torch.where(gate_NxF <= limit, dgate_NxF, 0.0)
    dvalue_NxF = torch.where(value_NxF.abs() <= limit, dy_NxF * held_NxF * sigmoid_NxF, 0.0)
    return (torch.cat([dgate_NxF, dvalue_NxF], dim=-1),)


def _xielu(x_NxF: Tensor, alpha_p_1: Tensor, alpha_n_1: Tensor, beta: float) -> Tensor:
    a_p_1, a_n_1 = functional.softplus(alpha_p_1), beta + functional.softplus(alpha_n_1)
    below_NxF = x_NxF.clamp(max=0)
    return torch.where(x_NxF > 0, a_p_1 * x_NxF.square(), a_n_1 * (torch.expm1(below_NxF) - below_NxF)) + beta * x_NxF


def _xielu_backward(
    dy_NxF: Tensor, x_NxF: Tensor, alpha_p_1: Tensor, alpha_n_1: Tensor, beta: float
) -> tuple[Tensor, ...]:
    a_p_1, a_n_1 = functional.softplus(alpha_p_1), beta + functional.softplus(alpha_n_1)
    curved_NxF = torch.expm1(x_NxF.clamp(max=0))
    dx_NxF = dy_NxF * (torch.where(x_NxF > 0, 2 * a_p_1 * x_NxF, a_n_1 * curved_NxF) + beta)
    da_p = torch.where(x_NxF <= 0, 0.0, dy_NxF * x_NxF.square()).sum()
    da_n = torch.where(x_NxF > 0, 0.0, dy_NxF * (curved_NxF - x_NxF)).sum()
    return dx_NxF, da_p * torch.sigmoid(alpha_p_1), da_n * torch.sigmoid(alpha_n_1)


RELU2 = _unary("relu2", _relu2)
GELU = _unary("gelu", _gelu)
GELU_TANH = _unary("gelu_tanh", _gelu_tanh)
SILU = _unary("silu", _silu)
SWIGLU = _gated("swiglu", _silu)
GEGLU = _gated("geglu", _gelu)
GEGLU_TANH = _gated("geglu_tanh", _gelu_tanh)
# gate sigmoid(alpha gate) (value + shift), gate at most `limit`, value within +-`limit`.
SWIGLU_CLAMPED = Kernel("swiglu_clamped", 2, (), ("alpha", "limit", "shift"), _clamped, _clamped_backward)
# a_p = softplus(alpha_p) and a_n = beta + softplus(alpha_n): arXiv:2411.13010.
XIELU = Kernel("xielu", 1, ("alpha_p", "alpha_n"), ("beta",), _xielu, _xielu_backward)
