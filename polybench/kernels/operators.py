"""Kernels as operators of torch, polybench::NAME and polybench::NAME_backward, for all that looks at operators:
torch.compile, export, dispatch modes, functorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polybench.kernels import batched, executed
from polybench.kernels.checks import check
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

# Dimension key: F hidden width, G branches.

KERNELS = (
    *(POLYNORM, GATED_POLYNORM, POLYRELU, POLYPRELU),
    *(RELU2, GELU, GELU_TANH, SILU, SWIGLU, GEGLU, GEGLU_TANH, SWIGLU_CLAMPED, XIELU),
)

Operator = Callable[..., Any]


@dataclass(frozen=True)
class Operators:
    """Of a kernel: `forward` takes x, parameters and constants in their order, `backward` dy before, and gives a tuple
    where there are parameters. `transformed` is forward for the transforms of torch.func, which look for the gradient
    of a function and not of an operator."""

    forward: Operator
    backward: Operator
    transformed: Operator


_LIBRARY = torch.library.Library("polybench", "DEF")


def _operators(kernel: Kernel) -> Operators:
    """All defined."""
    parameters, count = kernel.parameters, len(kernel.parameters)
    tail = "".join(f", Tensor {p}" for p in parameters) + "".join(f", float {c}" for c in kernel.constants)
    name, returned = kernel.name, ", ".join(["Tensor"] * (1 + count))
    _LIBRARY.define(f"{name}(Tensor x{tail}) -> Tensor")
    _LIBRARY.define(f"{name}_backward(Tensor dy, Tensor x{tail}) -> ({returned})")
    forward_operator, backward_operator = (
        getattr(torch.ops.polybench, each).default for each in (name, f"{name}_backward")
    )

    def as_returned(made: tuple[Tensor, ...]) -> Any:
        return made if count else made[0]

    def forward(x_GF: Tensor, *rest: Any) -> Tensor:
        return executed.forward(kernel, x_GF, rest[:count], rest[count:])

    def backward(dy_F: Tensor, x_GF: Tensor, *rest: Any) -> Any:
        return as_returned(executed.backward(kernel, dy_F, x_GF, rest[:count], rest[count:]))

    def fake(x_GF: Tensor, *rest: Any) -> Tensor:
        check(kernel, x_GF, rest[:count])
        return x_GF.new_empty((*x_GF.shape[:-1], x_GF.shape[-1] // kernel.branches))

    def fake_backward(dy_F: Tensor, x_GF: Tensor, *rest: Any) -> Any:
        return as_returned((x_GF.new_empty(x_GF.shape), *(p.new_empty(p.shape) for p in rest[:count])))

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x_GF, *rest = inputs
        ctx.save_for_backward(x_GF, *rest[:count])
        ctx.constants = rest[count:]

    def gradient_by(call: Operator) -> Callable[..., tuple[Any, ...]]:
        def gradient(ctx: Any, dy_F: Tensor) -> tuple[Any, ...]:
            found = call(dy_F, *ctx.saved_tensors, *ctx.constants)
            return *(found if count else (found,)), *(None for _ in ctx.constants)

        return gradient

    def keep_nothing(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    def refuse(ctx: Any, *gradients: Tensor) -> None:
        raise NotImplementedError(
            f"the gradient of the fused {name} has no gradient of its own; take the activation's eager module for that"
        )

    for each, carry_out, pretend in ((forward_operator, forward, fake), (backward_operator, backward, fake_backward)):
        called = each.name()
        _LIBRARY.impl(called, carry_out, "CompositeExplicitAutograd")
        torch.library.register_fake(called, pretend, lib=_LIBRARY)
    at_once, each_alone = batched.all_at_once(forward_operator), batched.each(backward_operator)
    torch.library.register_vmap(forward_operator, at_once, lib=_LIBRARY)
    torch.library.register_vmap(backward_operator, each_alone, lib=_LIBRARY)
    torch.library.register_autograd(forward_operator, gradient_by(backward_operator), setup_context=keep, lib=_LIBRARY)
    torch.library.register_autograd(backward_operator, refuse, lib=_LIBRARY)
    transformed = _function(
        forward_operator, keep, gradient_by(_function(backward_operator, keep_nothing, refuse, each_alone)), at_once
    )
    return Operators(forward_operator, backward_operator, transformed)


def _function(forward: Operator, keep: Operator, backward: Operator, vmap: Operator) -> Operator:
    """An operator as torch.func differentiates it."""
    members = {"forward": forward, "setup_context": keep, "backward": backward, "vmap": vmap}
    made: Any = type("Fused", (torch.autograd.Function,), {k: staticmethod(member) for k, member in members.items()})
    apply: Operator = made.apply
    return apply


OPERATORS: dict[str, Operators] = {kernel.name: _operators(kernel) for kernel in KERNELS}
