"""Kernels as operators of torch, polybench::NAME and polybench::NAME_backward, with fakes and autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from polybench.kernels import chunked, native
from polybench.kernels.kernel import Kernel
from polybench.kernels.pointwise import (
    GEGLU,
    GEGLU_TANH,
    GELU,
    GELU_TANH,
    RELU2,
    SILU,
    SWIGLU,
    SWIGLU_CLAMPED,
    XIELU,
)
from polybench.kernels.polynomials import POLYPRELU, POLYRELU
from polybench.kernels.rows import GATED_POLYNORM, POLYNORM

# Dimension key: N rows, F hidden width, G branches.

KERNELS = (
    *(POLYNORM, GATED_POLYNORM, POLYRELU, POLYPRELU),
    *(RELU2, GELU, GELU_TANH, SILU, SWIGLU, GEGLU, GEGLU_TANH, SWIGLU_CLAMPED, XIELU),
)

_LIBRARY = torch.library.Library("polybench", "DEF")


def _operator(kernel: Kernel) -> Callable[..., Any]:
    """Defines both operators; what is returned takes x, the parameters and the constants in their order."""
    parameters, count = kernel.parameters, len(kernel.parameters)
    tail = "".join(f", Tensor {p}" for p in parameters) + "".join(f", float {c}" for c in kernel.constants)
    name, returned = kernel.name, ", ".join(["Tensor"] * (1 + count))
    _LIBRARY.define(f"{name}(Tensor x{tail}) -> Tensor")
    _LIBRARY.define(f"{name}_backward(Tensor dy, Tensor x{tail}) -> ({returned})")

    def forward(x_GF: Tensor, *rest: Any) -> Tensor:
        x_NxGF = x_GF.reshape(-1, x_GF.shape[-1]).contiguous()
        inputs = kernel, x_NxGF, rest[:count], rest[count:]
        y_NxF = native.forward(*inputs) if x_GF.is_cpu else None
        if y_NxF is None:
            y_NxF = chunked.forward(*inputs)
        return y_NxF.reshape(*x_GF.shape[:-1], -1)

    def backward(dy_F: Tensor, x_GF: Tensor, *rest: Any) -> Any:
        dy_NxF, x_NxGF = (t.reshape(-1, t.shape[-1]).contiguous() for t in (dy_F, x_GF))
        inputs = kernel, dy_NxF, x_NxGF, rest[:count], rest[count:]
        found = native.backward(*inputs) if x_GF.is_cpu else None
        dx_NxGF, *others = found or chunked.backward(*inputs)
        dx_GF = dx_NxGF.reshape(x_GF.shape)
        return (dx_GF, *others) if others else dx_GF

    def fake(x_GF: Tensor, *rest: Any) -> Tensor:
        return x_GF.new_empty(*x_GF.shape[:-1], x_GF.shape[-1] // kernel.branches)

    def fake_backward(dy_F: Tensor, x_GF: Tensor, *rest: Any) -> Any:
        made = [x_GF.new_empty(x_GF.shape), *(torch.empty_like(p) for p in rest[:count])]
        return tuple(made) if count else made[0]

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x_GF, *rest = inputs
        ctx.save_for_backward(x_GF, *rest[:count])
        ctx.constants = rest[count:]

    def gradient(ctx: Any, dy_F: Tensor) -> tuple[Any, ...]:
        found = backward_operator(dy_F, *ctx.saved_tensors, *ctx.constants)
        return *(found if count else (found,)), *(None for _ in ctx.constants)

    _LIBRARY.impl(name, forward, "CompositeExplicitAutograd")
    _LIBRARY.impl(f"{name}_backward", backward, "CompositeExplicitAutograd")
    torch.library.register_fake(f"polybench::{name}", fake, lib=_LIBRARY)
    torch.library.register_fake(f"polybench::{name}_backward", fake_backward, lib=_LIBRARY)
    torch.library.register_autograd(f"polybench::{name}", gradient, setup_context=keep, lib=_LIBRARY)
    backward_operator = getattr(torch.ops.polybench, f"{name}_backward").default
    return getattr(torch.ops.polybench, name).default


OPERATORS: dict[str, Callable[..., Any]] = {kernel.name: _operator(kernel) for kernel in KERNELS}
