"""Which kernel in Triton an activation is, and what it is launched with: one function a family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from polybench.kernels.gpu import curves, learned, pointwise, rows
from polybench.kernels.gpu.shapes import ACCESS, Shape, alignment, flat, sweeping, tiled


class Kernel(Protocol):
    """What is asked of a `polybench.kernels.kernel.Kernel`."""

    @property
    def name(self) -> str: ...
    @property
    def branches(self) -> int: ...
    @property
    def parameters(self) -> tuple[str, ...]: ...
    @property
    def constants(self) -> tuple[str, ...]: ...


CURVES = {
    "relu2": curves.relu2,
    "gelu": curves.gelu,
    "gelu_tanh": curves.gelu_tanh,
    "silu": curves.silu,
    "swiglu": curves.silu,
    "geglu": curves.gelu,
    "geglu_tanh": curves.gelu_tanh,
    "swiglu_clamped": curves.silu,
}


@dataclass(frozen=True)
class Plan:
    """Of a launch: `numbers` are told at run time, behind the tensors; `options` are compiled in."""

    function: Any
    shape: Shape
    pieces: int  # that programs share among themselves
    numbers: tuple[float, ...]
    options: Mapping[str, Any]


def plan(
    kernel: Kernel, rows: int, width: int, itemsize: int, order: int, constants: Mapping[str, float], backward: bool
) -> Plan:
    """For (rows, G*width) numbers of `itemsize` bytes."""
    if kernel.name in ("polynorm", "gated_polynorm"):
        return _sweeping(kernel, rows, width, itemsize, order, constants, backward)
    if kernel.branches == 2:
        return _gated(kernel, rows, width, itemsize, constants, backward)
    return _flat(kernel, rows * width, itemsize, order, constants, backward)


def _sweeping(
    kernel: Kernel, count: int, width: int, itemsize: int, order: int, constants: Mapping[str, float], backward: bool
) -> Plan:
    gated, clamp = kernel.branches == 2, constants.get("clamp", 0.0)
    shape, align = sweeping(width, itemsize, order, gated, backward), alignment(width, itemsize)
    options = {"ORDER": order, "GATED": gated, "CLAMPED": clamp != 0}
    options |= {option.upper(): bool(constants.get(option, False)) for option in ("relu", "piecewise")}
    options |= {"ALIGN": align, "BLOCK": shape.block, "VECTOR": ACCESS // itemsize, "WHOLE": shape.whole}
    share = 1.0 if constants["l2"] else 1 / width
    numbers = (count, width // align, share, constants["eps"], clamp)
    return Plan(rows.backward if backward else rows.forward, shape, count, numbers, options | {"STAGES": shape.stages})


def _gated(
    kernel: Kernel, count: int, width: int, itemsize: int, constants: Mapping[str, float], backward: bool
) -> Plan:
    shape, align = tiled(width, itemsize), alignment(width, itemsize)
    options = {"CURVE": CURVES[kernel.name], "CLAMPED": "limit" in constants}
    options |= {"ALIGN": align, "ROWS": shape.rows, "BLOCK": shape.block}
    numbers = (count, width // align, *(constants.get(name, 1.0) for name in ("alpha", "limit", "shift")))
    pieces = -(-count // shape.rows) * -(-width // shape.block)
    return Plan(pointwise.gated_backward if backward else pointwise.gated_forward, shape, pieces, numbers, options)


def _flat(
    kernel: Kernel, count: int, itemsize: int, order: int, constants: Mapping[str, float], backward: bool
) -> Plan:
    shape, align = flat(itemsize, backward and bool(kernel.parameters)), alignment(count, itemsize)
    options: dict[str, Any] = {"ALIGN": align, "BLOCK": shape.block}
    numbers: tuple[float, ...] = (count // align,)
    if kernel.name in CURVES:
        function = pointwise.backward if backward else pointwise.forward
        options |= {"CURVE": CURVES[kernel.name]}
    else:
        options |= {"VECTOR": ACCESS // itemsize} if backward else {}
        if kernel.name == "xielu":
            function = learned.xielu_backward if backward else learned.xielu_forward
            numbers = (*numbers, constants["beta"])
        else:
            function = learned.polynomial_backward if backward else learned.polynomial_forward
            options |= {"ORDER": order, "SLOPED": "slope" in kernel.parameters}
    return Plan(function, shape, -(-count // shape.block), numbers, options)
