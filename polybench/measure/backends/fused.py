"""fused: the kernels of polybench/kernels, fed with the parameters of our own modules."""

from __future__ import annotations

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
from polybench.kernels.library import attempt
from polybench.measure.model.build import Call, described
from polybench.registry import backends

# Dimension key: F hidden width, G branches.

FUSED = (
    PolyNorm, PolyReLUNorm, GatedPolyNorm, PolyReLU, PolyPReLU, SquaredReLU, GELU, SiLU, SwiGLU, GEGLU, ClampedSwiGLU,
    XIELU,
)  # fmt: skip


@backends.register("fused", source="polybench/kernels")
def fused(module: Call) -> Call:
    """Our own kernels: one pass forward, one backward, the input kept.

    Raises Unsupported where there is none, or no C++ compiler: the chunks that run then are not what is to be timed.
    """
    if type(module) not in FUSED:
        raise Unsupported(f"there is no fused kernel for {described(module, FUSED)}")
    if not torch.cuda.is_available() and isinstance(why := attempt(), str):
        raise Unsupported(f"the fused kernels are not compiled: {why}")
    match module:
        case PolyNorm():
            options: dict[str, Any] = {
                "norm": module.norm,
                "eps": module.eps,
                "negative": "square" if module.piecewise else "all",
            }
            return lambda x_F: kernels.polynorm(x_F, module.weight, module.bias, **options)
        case PolyReLUNorm():
            inner = module.polynorm
            return lambda x_F: kernels.polyrelunorm(x_F, inner.weight, inner.bias, norm=inner.norm, eps=inner.eps)
        case GatedPolyNorm():
            return lambda x_2F: _gated(module, x_2F)
        case PolyReLU():
            return lambda x_F: kernels.polyrelu(x_F, module.weight, module.bias)
        case PolyPReLU():
            return lambda x_F: kernels.polyprelu(x_F, module.weight, module.bias, module.slope)
        case SquaredReLU():
            return kernels.relu2
        case GELU():
            return lambda x_F: kernels.gelu(x_F, approximate=module.approximate)
        case SiLU():
            return kernels.silu
        case SwiGLU():
            return kernels.swiglu
        case GEGLU():
            return lambda x_2F: kernels.geglu(x_2F, approximate=module.approximate)
        case ClampedSwiGLU():
            constants = {"alpha": module.alpha, "limit": module.limit, "shift": module.shift}
            return lambda x_2F: kernels.clamped_swiglu(x_2F, **constants)
        case XIELU():
            return lambda x_F: kernels.xielu(x_F, module.alpha_p, module.alpha_n, beta=module.beta)
    raise AssertionError(type(module))


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
