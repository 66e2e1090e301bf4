"""Kernels as plain eager calls them: past torch's dispatcher, which takes longer than a kernel of few rows.

Whatever looks at operators gets the operator: torch.compile, export and jit, modes of dispatch and of functions,
functorch, forward-mode gradients, tensors of other classes; so does what the library takes only after a change of
layout or type, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from polybench.kernels.kernel import ORDERS, Kernel
from polybench.kernels.native import TYPES, native
from polybench.kernels.operators import KERNELS, OPERATORS

# Dimension key: F hidden width, G branches.

_PLAIN = {Tensor, torch.nn.Parameter}  # and no class of them, which might have no memory


def call(name: str, x_GF: Tensor, parameters: tuple[Tensor, ...], constants: tuple[float, ...]) -> Tensor:
    """(..., F) for (..., G*F), by the kernel called so.

    Raises:
        TypeError: the input or a parameter is no dense tensor of floating-point numbers.
        ValueError: a width that the branches do not share out, or a parameter of another size or on another device.
        NotImplementedError: a forward-mode gradient is asked for.
    """
    y_F: Tensor
    compiling = torch.compiler.is_compiling()
    eagerly = not compiling and _unwatched(x_GF, *parameters) and x_GF.is_cpu  # else nothing of the CPU's is built
    fused = _fused(name) if eagerly else None
    if fused and _served(fused.kernel, x_GF, parameters):
        y_F = fused.apply(x_GF, constants, *parameters)
    elif compiling or torch._C._functorch.peek_interpreter_stack() is None:
        if not compiling and any(forward_ad.unpack_dual(t).tangent is not None for t in (x_GF, *parameters)):
            raise NotImplementedError(f"the fused {name} has no forward-mode gradient; take the activation's module")
        y_F = OPERATORS[name].forward(x_GF, *parameters, *constants)
    else:
        y_F = OPERATORS[name].transformed(x_GF, *parameters, *constants)
    return y_F


def _unwatched(*tensors: Tensor) -> bool:
    """Whether nobody looks at operators. Each of these takes 0.03 us, and a mode may begin at any time."""
    return (
        not torch.overrides.has_torch_function(tensors)
        and not torch._C._len_torch_dispatch_stack()
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._get_tracing_state() is None
        and forward_ad._current_level < 0
    )


def _served(kernel: Kernel, x_GF: Tensor, parameters: tuple[Tensor, ...]) -> bool:
    """Whether the library takes these as they are: `check` would find nothing, and `executed` nothing to change."""
    kind = x_GF.dtype
    if not (type(x_GF) in _PLAIN and kind in TYPES and x_GF.is_cpu and x_GF.is_contiguous()):
        return False
    if not x_GF.numel() or not x_GF.dim() or (kernel.branches > 1 and x_GF.shape[-1] % kernel.branches):
        return False
    if parameters:
        kind, most = parameters[0].dtype, ORDERS[-1] if kernel.parameters[0] == "weight" else 1
        for p in parameters:
            if not (p.dtype is kind and type(p) in _PLAIN and p.is_cpu and p.dim() == 1 and 0 < len(p) <= most):
                return False
            most = 1
        return kind in TYPES and parameters[0].is_contiguous()
    return True


@dataclass(frozen=True)
class _Fused:
    """A kernel as a function with a gradient: `apply(x, constants, *parameters)`."""

    kernel: Kernel
    apply: Callable[..., Tensor]


@cache
def _fused(name: str) -> _Fused | None:
    """None where the library of this machine lacks it."""
    kernel = next(kernel for kernel in KERNELS if kernel.name == name)
    library, operators = native(kernel), OPERATORS[name]
    if library is None:
        return None

    def forward(ctx: Any, x_GF: Tensor, constants: tuple[float, ...], *parameters: Tensor) -> Tensor:
        ctx.save_for_backward(x_GF, *parameters)
        ctx.constants = constants
        y_F = library.forward(x_GF, parameters, constants)
        return operators.forward(x_GF, *parameters, *constants) if y_F is None else y_F

    def backward(ctx: Any, dy_F: Tensor) -> tuple[Tensor | None, ...]:
        x_GF, *parameters = ctx.saved_tensors
        found = None
        if not torch.is_grad_enabled() and dy_F.is_contiguous() and type(dy_F) in _PLAIN and _unwatched(dy_F):
            found = library.backward(dy_F, x_GF, parameters, ctx.constants)
        if found is None:  # a gradient of a gradient is refused by the operator, should one be asked for
            made = operators.backward(dy_F, x_GF, *parameters, *ctx.constants)
            found = made if parameters else (made,)
        return found[0], None, *found[1:]

    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    function: Any = type(f"Fused_{name}", (torch.autograd.Function,), members)  # the name that a profile shows
    # Function.apply itself first looks for functorch, which _unwatched did: 1.4 us.
    return _Fused(kernel, super(torch.autograd.Function, function).apply)
