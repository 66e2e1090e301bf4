"""Kernels in Triton called with tensors of a GPU: (..., G*F) in, (..., F) out, contiguous.

Triton is loaded when this is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache

import torch
import triton
from torch import Tensor

from polybench.kernels.gpu.plans import Kernel, Plan, plan
from polybench.kernels.gpu.sums import total

# Dimension key: F hidden width, G branches, K coefficients, P programs.


def ready() -> None:
    """Raises what Triton raises where it cannot build its driver."""
    triton.runtime.driver.active.get_current_target()


def forward(kernel: Kernel, x_GF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]) -> Tensor:
    """y (..., F) of the input's type; x is not empty."""
    y_F = x_GF.new_empty((*x_GF.shape[:-1], x_GF.shape[-1] // kernel.branches))
    own = [p.contiguous() for p in parameters]
    with _on(x_GF):
        launched = _plan(kernel, y_F, x_GF, own, constants, False)
        _run(launched, _programs(launched, x_GF), x_GF, *_told(kernel, own), y_F)
    return y_F


def backward(
    kernel: Kernel, dy_F: Tensor, x_GF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]
) -> tuple[Tensor, ...]:
    """dx like x and a gradient for each parameter, of its shape and type; x is not empty."""
    dx_GF = torch.empty_like(x_GF)
    own = [p.contiguous() for p in parameters]
    with _on(x_GF):
        launched = _plan(kernel, dy_F, x_GF, own, constants, True)
        programs = _programs(launched, x_GF)
        if not own:
            _run(launched, programs, dy_F, x_GF, dx_GF)
            return (dx_GF,)
        gradients = [torch.empty_like(p) for p in own]
        partials_KxP = x_GF.new_empty((sum(p.numel() for p in own), programs), dtype=torch.float32)
        _run(launched, programs, dy_F, x_GF, *_told(kernel, own), dx_GF, partials_KxP)
        _total(partials_KxP, gradients)
    return dx_GF, *gradients


def _plan(
    kernel: Kernel, y_F: Tensor, x_GF: Tensor, own: Sequence[Tensor], constants: Sequence[float], backward: bool
) -> Plan:
    named = dict(zip(kernel.constants, constants, strict=True))
    order = own[0].numel() if own else 0
    width = y_F.shape[-1]
    return plan(kernel, y_F.numel() // width, width, x_GF.element_size(), order, named, backward)


def _told(kernel: Kernel, own: Sequence[Tensor]) -> Sequence[Tensor]:
    """PolyReLU is PolyPReLU without a slope, in whose place something must stand."""
    return [*own, own[-1]] if kernel.name == "polyrelu" else own


def _run(launched: Plan, programs: int, *tensors: Tensor) -> None:
    shape = launched.shape
    # A thread has no more registers than lets all programs be there at once, where the compiler can be told.
    limit = {"maxnreg": shape.registers} if tensors[0].is_cuda and not torch.version.hip else {}
    launched.function[(programs,)](
        *tensors, *launched.numbers, **launched.options, num_warps=shape.warps, num_stages=1, **limit
    )


def _total(partials_KxP: Tensor, gradients: Sequence[Tensor]) -> None:
    """Writes the gradients of two or three parameters."""
    columns, programs = partials_KxP.shape
    first, second, third = gradients[0], gradients[1], gradients[-1]
    total[(columns,)](partials_KxP, first, second, third, programs, first.numel(), second.numel(), BLOCK=1024)


def _programs(launched: Plan, x_GF: Tensor) -> int:
    """As many as fit on the device at a time, each of which walks over what is left."""
    return min(launched.pieces, launched.shape.resident * _processors(x_GF.device))


@lru_cache
def _processors(device: torch.device) -> int:
    """Of a CPU, where Triton's interpreter runs, two: so that programs have several rows each."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def _on(x_GF: Tensor) -> AbstractContextManager[None]:
    return torch.cuda.device(x_GF.device) if x_GF.is_cuda else nullcontext()
