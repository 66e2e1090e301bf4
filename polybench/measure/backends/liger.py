"""liger: the Triton kernels of the liger-kernel package, fed with the parameters of our own modules.

Read and tried with liger-kernel 0.8.5 (BSD-2-Clause, linkedin/Liger-Kernel). What is taken is its
autograd functions, from their own files, where no LIGER_KERNEL_IMPL replaces them by another
implementation. Its modules differ from ours in one number only: LigerPolyNorm's bias starts at 1.0,
the bias of the authors' code and of ours at 0. The parameters here are ours, so outputs agree.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polybench.activations.geglu import GEGLU
from polybench.activations.polynorm import PolyNorm
from polybench.activations.relu import SquaredReLU
from polybench.activations.swiglu import SwiGLU
from polybench.errors import Unsupported
from polybench.measure.model.build import Call, described
from polybench.registry import activations, backends

# Dimension key: N rows, F hidden width, G branches; 2F gate and value side by side.

WIDEST = 65536  # a row is one block of a Triton program: MAX_FUSED_SIZE of liger_kernel/ops/utils.py


@backends.register("liger", source="liger-kernel 0.8.5, BSD-2-Clause; linkedin/Liger-Kernel")
def liger(call: Call) -> Call:
    """Fused Triton kernels of liger-kernel for PolyNorm, SwiGLU, GEGLU with tanh, and squared ReLU."""
    reason = refusal(call)
    if reason:
        raise Unsupported(reason)
    if not torch.cuda.is_available():
        raise Unsupported("liger's kernels are written in Triton and need a GPU; none is visible here")
    run = mapped(call)

    def on_gpu(x_GF: Tensor) -> Any:
        if not x_GF.is_cuda:
            raise Unsupported("liger's kernels are written in Triton and need a GPU; this input is on the CPU")
        return run(x_GF)

    return on_gpu


def refusal(call: Call) -> str:
    """Why liger-kernel has no kernel for this module and these options; empty when it has one."""
    if type(call) not in LIGERS:
        return (
            f"liger has no kernel for {described(call, tuple(LIGERS))}; it has PolyNorm, SwiGLU, GEGLU and squared ReLU"
        )
    match call:
        case PolyNorm() if len(call.weight) != 3:
            return f"liger's PolyNorm has order 3 only, and this one has order {len(call.weight)}"
        case PolyNorm() if call.norm != "rms":
            return "liger's PolyNorm divides by the root mean square, never by the l2 norm"
        case PolyNorm() if call.piecewise:
            return "liger's PolyNorm has all powers on both sides of 0; polynorm(negative=all) can be served"
        case GEGLU() if call.approximate != "tanh":
            return "liger's GEGLU takes GELU by tanh; geglu(approximate=tanh) can be served"
    return ""


def mapped(module: Call) -> Call:
    """The call of liger-kernel that equals a module `refusal` lets pass: (..., G*F) -> (..., F).

    Raises Unsupported when the package is missing, and in the call for float64 and for rows wider
    than 65536.
    """
    run, G = LIGERS[type(module)](module), activations.facts_of(module).get("branches", 1)

    def checked(x_GF: Tensor) -> Any:
        if x_GF.dtype == torch.float64:
            raise Unsupported("liger's kernels compute in float32, so float64 is not served")
        if x_GF.shape[-1] > G * WIDEST:
            raise Unsupported(f"liger's kernels hold rows of at most {WIDEST} numbers")
        return run(x_GF)

    return checked


def _polynorm(module: PolyNorm) -> Call:
    """Weights stand cubic first in both. in_place=True, liger's default, would write the input's gradient over dy,
    which is wrong when dy is read again (by a residual branch, or by the next activation timed here)."""
    polynorm = _function("poly_norm", "LigerPolyNormFunction")
    return lambda x_GF: polynorm.apply(x_GF, module.weight, module.bias.reshape(()), module.eps, False)


def _swiglu(_: SwiGLU) -> Call:
    """Reads both halves where they lie; in_place=False leaves the saved input as it is. Its gradient comes as a matrix
    (0.8.5), which autograd refuses for an input of another rank."""
    swiglu = _function("swiglu", "LigerFusedGateUpSiLUMulFunction")

    def run(x_GF: Tensor) -> Any:
        y_NxF = swiglu.apply(x_GF.reshape(-1, x_GF.shape[-1]), False)
        return y_NxF.reshape(*x_GF.shape[:-1], -1)

    return run


def _geglu(_: GEGLU) -> Call:
    """Its backward writes over the halves it saved, and the halves of a single row would be the input's own memory. So
    they are copies, which the function makes of longer inputs anyway."""
    geglu = _function("geglu", "LigerGELUMulFunction")

    def run(x_GF: Tensor) -> Any:
        halves = (half_F.clone(memory_format=torch.contiguous_format) for half_F in x_GF.chunk(2, dim=-1))
        return geglu.apply(*halves)

    return run


def _relu2(_: SquaredReLU) -> Call:
    relu2 = _function("relu_squared", "LigerReLUSquaredFunction")
    return lambda x_GF: relu2.apply(x_GF)


def _function(file: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"liger_kernel.ops.{file}"), name)
    except ImportError:
        raise Unsupported("liger-kernel is not installed: pip install 'torch-polybench[liger]'") from None
    except AttributeError:
        raise Unsupported(f"this liger-kernel has no {name}: 0.8.5 or newer is needed") from None


# Of each class, what makes the call of a module.
LIGERS: dict[type, Callable[[Any], Call]] = {
    PolyNorm: _polynorm, SwiGLU: _swiglu, GEGLU: _geglu, SquaredReLU: _relu2,
}  # fmt: skip
