"""Fused activations as functions, for anyone's model: (..., G*F) -> (..., F) in the type of the input."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from polybench.errors import among
from polybench.kernels.eager import call

# Dimension key: F hidden width, the row that is normalised; r the order.


def polynorm(
    x_F: Tensor,
    weight_r: Tensor,
    bias_1: Tensor,
    *,
    norm: Literal["rms", "l2"] = "rms",
    eps: float = 1e-6,
    negative: Literal["all", "square"] = "all",
) -> Tensor:
    """sum of a_i x^i / norm(x^i) + a_0, arXiv:2411.03884; `weight_r` holds a_r first, `bias_1` is a_0."""
    among("negative", negative, "all", "square")
    return call("polynorm", x_F, (weight_r, bias_1), (eps, _is_l2(norm), negative == "square", False))


def polyrelunorm(
    x_F: Tensor, weight_r: Tensor, bias_1: Tensor, *, norm: Literal["rms", "l2"] = "rms", eps: float = 1e-6
) -> Tensor:
    """polynorm(relu(x)), arXiv:2411.03884."""
    return call("polynorm", x_F, (weight_r, bias_1), (eps, _is_l2(norm), False, True))


def gated_polynorm(
    x_2F: Tensor,
    weight_r: Tensor,
    bias_1: Tensor,
    *,
    norm: Literal["rms", "l2"] = "rms",
    eps: float = 1e-6,
    hidden_clamp: float = 0.0,
) -> Tensor:
    """polynorm(gate) value, arXiv:2508.09148; gate and value within +-`hidden_clamp` first where that is above 0."""
    return call("gated_polynorm", x_2F, (weight_r, bias_1), (eps, _is_l2(norm), hidden_clamp))


def polyrelu(x_F: Tensor, weight_r: Tensor, bias_1: Tensor) -> Tensor:
    """sum of a_i relu(x)^i + a_0, arXiv:2411.03884; `weight_r` holds a_r first, `bias_1` is a_0."""
    return call("polyrelu", x_F, (weight_r, bias_1), ())


def polyprelu(x_F: Tensor, weight_r: Tensor, bias_1: Tensor, slope_1: Tensor) -> Tensor:
    """sum of a_i prelu(x)^i + a_0, arXiv:2411.03884."""
    return call("polyprelu", x_F, (weight_r, bias_1, slope_1), ())


def relu2(x_F: Tensor) -> Tensor:
    """max(x, 0)^2, arXiv:2109.08668."""
    return call("relu2", x_F, (), ())


def gelu(x_F: Tensor, *, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """x Phi(x), arXiv:1606.08415; by the error function or by tanh."""
    return call("gelu_tanh" if _is_tanh(approximate) else "gelu", x_F, (), ())


def silu(x_F: Tensor) -> Tensor:
    """x sigmoid(x), arXiv:1606.08415."""
    return call("silu", x_F, (), ())


def swiglu(x_2F: Tensor) -> Tensor:
    """silu(gate) value, gate and value being the two halves of the input: arXiv:2002.05202."""
    return call("swiglu", x_2F, (), ())


def geglu(x_2F: Tensor, *, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """gelu(gate) value: arXiv:2002.05202."""
    return call("geglu_tanh" if _is_tanh(approximate) else "geglu", x_2F, (), ())


def clamped_swiglu(x_2F: Tensor, *, alpha: float, limit: float, shift: float) -> Tensor:
    """gate sigmoid(alpha gate) (value + shift), gate at most `limit`, value within +-`limit`: hf:openai/gpt-oss-20b."""
    return call("swiglu_clamped", x_2F, (), (alpha, limit, shift))


def xielu(x_F: Tensor, alpha_p_1: Tensor, alpha_n_1: Tensor, *, beta: float = 0.5) -> Tensor:
    """a_p x^2 + beta x above 0, a_n (expm1(x) - x) + beta x below; a_p = softplus(alpha_p), a_n = beta +
    softplus(alpha_n): arXiv:2411.13010."""
    return call("xielu", x_F, (alpha_p_1, alpha_n_1), (beta,))


def _is_l2(norm: str) -> bool:
    among("norm", norm, "rms", "l2")
    return norm == "l2"


def _is_tanh(approximate: str) -> bool:
    among("approximate", approximate, "none", "tanh")
    return approximate == "tanh"
