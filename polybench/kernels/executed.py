"""A kernel executed by what serves it here: the library in C++, Triton on a GPU, else its own formula in chunks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polybench.kernels import chunked, gpu
from polybench.kernels.checks import check
from polybench.kernels.kernel import Kernel
from polybench.kernels.native import TYPES, native

# Dimension key: N rows, F hidden width, G branches.


def forward(kernel: Kernel, x_GF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]) -> Tensor:
    """(..., F) for (..., G*F), contiguous, of the input's type. Raises TypeError and ValueError as `check` does."""
    check(kernel, x_GF, parameters)
    shape = (*x_GF.shape[:-1], x_GF.shape[-1] // kernel.branches)
    if not x_GF.numel():
        return x_GF.new_empty(shape)
    x_GF, parameters = x_GF.contiguous(), _flat(parameters)
    y_F = None
    if _on_cpu(x_GF) and (served := native(kernel)):
        y_F = served.forward(x_GF, _of_one_type(parameters), constants)
    elif launch := gpu.serving(x_GF):
        y_F = launch.forward(kernel, x_GF, parameters, constants)
    if y_F is None:
        y_F = chunked.forward(kernel, x_GF.view(-1, x_GF.shape[-1]), tuple(parameters), tuple(constants)).view(shape)
    return y_F


def backward(
    kernel: Kernel, dy_F: Tensor, x_GF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]
) -> tuple[Tensor, ...]:
    """dx like x and a gradient for each parameter, of its shape and type."""
    if not x_GF.numel():
        return torch.empty_like(x_GF), *(torch.zeros_like(p) for p in parameters)
    x_GF, dy_F, own = x_GF.contiguous(), dy_F.to(x_GF.dtype).contiguous(), _flat(parameters)
    found = None
    if _on_cpu(x_GF) and (served := native(kernel)):
        found = served.backward(dy_F, x_GF, _of_one_type(own), constants)
    elif launch := gpu.serving(x_GF):
        found = launch.backward(kernel, dy_F, x_GF, own, constants)
    if found is None:
        x_NxGF, dy_NxF = x_GF.view(-1, x_GF.shape[-1]), dy_F.view(-1, dy_F.shape[-1])
        found = chunked.backward(kernel, dy_NxF, x_NxGF, tuple(own), tuple(constants))
    dx_GF, *others = found
    alike = (other.to(p.dtype).view(p.shape) for other, p in zip(others, parameters, strict=True))
    return dx_GF.view(x_GF.shape), *alike


def _on_cpu(x_GF: Tensor) -> bool:
    return x_GF.is_cpu and x_GF.dtype in TYPES


def _flat(parameters: Sequence[Tensor]) -> list[Tensor]:
    """One number may be of any number of dimensions, none among them."""
    return [p.reshape(-1) for p in parameters]


def _of_one_type(parameters: Sequence[Tensor]) -> list[Tensor]:
    """As the library takes them: as they are, or in float32."""
    known = {p.dtype for p in parameters}
    one = len(known) == 1 and known <= set(TYPES)
    return [(p if one else p.float()).contiguous() for p in parameters]
