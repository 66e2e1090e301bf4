"""fused: the kernels of polybench/kernels, fed with the parameters of our own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polybench import kernels
from polybench.activations.gated_polynorm import GatedPolyNorm
from polybench.activations.geglu import GEGLU
from polybench.activations.gelu import GELU
from polybench.activations.polynorm import PolyNorm
from polybench.activations.polyprelu import PolyPReLU
from polybench.activations.polyrelu import PolyReLU
from polybench.activations.polyrelunorm import PolyReLUNorm
from polybench.activations.relu import SquaredReLU
from polybench.activations.silu import SiLU
from polybench.activations.swiglu import SwiGLU
from polybench.activations.swiglu_clamped import ClampedSwiGLU
from polybench.activations.xielu import XIELU
from polybench.errors import Unsupported
from polybench.kernels import gpu
from polybench.kernels.library import attempt
from polybench.measure.model.build import Call, described
from polybench.registry import backends

# Dimension key: F hidden width, G branches.


@backends.register("fused", source="polybench/kernels")
def fused(module: Call) -> Call:
    """Our own kernels: one pass forward, one backward, the input kept.

    Raises Unsupported where there is none; and, in the call where a GPU is visible, without a C++ compiler for the CPU
    or Triton for a GPU: the chunks that run then are not what is to be timed.
    """
    if type(module) not in FUSED:
        raise Unsupported(f"there is no fused kernel for {described(module, tuple(FUSED))}")
    call = FUSED[type(module)](module)
    if torch.cuda.is_available():
        return _where_served(call)
    _served(attempt())
    return call


def _where_served(call: Call) -> Call:
    """The input says what it needs; for that of a GPU nothing of the CPU's is built."""
    triton = gpu.attempt()

    def on_either(x_GF: Tensor) -> Any:
        if x_GF.is_cuda:
            _served(triton)
        elif not torch.compiler.is_compiling():
            _served(attempt())
        return call(x_GF)

    return on_either


def _served(found: object) -> None:
    """Raises Unsupported with why there is nothing but chunks."""
    if isinstance(found, str):
        raise Unsupported(f"the fused kernels are not compiled: {found}")


def _polynorm(module: PolyNorm) -> Call:
    options: dict[str, Any] = {
        "norm": module.norm,
        "eps": module.eps,
        "negative": "square" if module.piecewise else "all",
    }
    return lambda x_F: kernels.polynorm(x_F, module.weight, module.bias, **options)


def _polyrelunorm(module: PolyReLUNorm) -> Call:
    inner = module.polynorm
    return lambda x_F: kernels.polyrelunorm(x_F, inner.weight, inner.bias, norm=inner.norm, eps=inner.eps)


def _clamped_swiglu(module: ClampedSwiGLU) -> Call:
    constants = {"alpha": module.alpha, "limit": module.limit, "shift": module.shift}
    return lambda x_2F: kernels.clamped_swiglu(x_2F, **constants)


def _gated(module: GatedPolyNorm, x_2F: Tensor) -> Tensor:
    """What the options do to the r + 1 coefficients is done before, in float32 at least; the scale is one of theirs."""
    inner = module.polynorm
    weight_r: Tensor = inner.weight
    bias_1: Tensor = inner.bias
    if module.sigmoid or module.bias_clamp or module.scale != 1:
        wide = torch.promote_types(weight_r.dtype, torch.float32)
        weight_r, bias_1 = weight_r.to(wide), bias_1.to(wide)
    if module.sigmoid:
        weight_r = torch.sigmoid(weight_r)
    if module.bias_clamp:
        bias_1 = bias_1.clamp(-module.bias_clamp, module.bias_clamp)
    if module.scale != 1:
        weight_r, bias_1 = module.scale * weight_r, module.scale * bias_1
    return kernels.gated_polynorm(
        x_2F, weight_r, bias_1, norm=inner.norm, eps=inner.eps, hidden_clamp=module.hidden_clamp or 0.0
    )


# Of each class, what makes the call of a module.
FUSED: dict[type, Callable[[Any], Call]] = {
    PolyNorm: _polynorm,
    PolyReLUNorm: _polyrelunorm,
    GatedPolyNorm: lambda module: lambda x_2F: _gated(module, x_2F),
    PolyReLU: lambda module: lambda x_F: kernels.polyrelu(x_F, module.weight, module.bias),
    PolyPReLU: lambda module: lambda x_F: kernels.polyprelu(x_F, module.weight, module.bias, module.slope),
    SquaredReLU: lambda _: kernels.relu2,
    GELU: lambda module: lambda x_F: kernels.gelu(x_F, approximate=module.approximate),
    SiLU: lambda _: kernels.silu,
    SwiGLU: lambda _: kernels.swiglu,
    GEGLU: lambda module: lambda x_2F: kernels.geglu(x_2F, approximate=module.approximate),
    ClampedSwiGLU: _clamped_swiglu,
    XIELU: lambda module: lambda x_F: kernels.xielu(x_F, module.alpha_p, module.alpha_n, beta=module.beta),
}
