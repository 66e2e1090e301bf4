"""A kernel's own formula over so few rows at a time that what it makes between stays in the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from polybench.kernels.kernel import Kernel

# Dimension key: N rows, F hidden width, G branches.

ELEMENTS = 2**18  # of the input at a time: 1 MiB of float32


def forward(kernel: Kernel, x_NxGF: Tensor, parameters: tuple[Tensor, ...], constants: tuple[float, ...]) -> Tensor:
    """(N, F) of the input's type, from sums in float32 at least."""
    wide = _wide(x_NxGF.dtype)
    own = [p.to(wide) for p in parameters]
    y_NxF = x_NxGF.new_empty(len(x_NxGF), x_NxGF.shape[-1] // kernel.branches)
    for start, stop in _parts(x_NxGF):
        y_NxF[start:stop] = kernel.forward(x_NxGF[start:stop].to(wide), *own, *constants)
    return y_NxF


def backward(
    kernel: Kernel, dy_NxF: Tensor, x_NxGF: Tensor, parameters: tuple[Tensor, ...], constants: tuple[float, ...]
) -> tuple[Tensor, ...]:
    """dx (N, G*F) and a gradient for each parameter, each of the type of what it is the gradient to."""
    wide = _wide(x_NxGF.dtype)
    own = [p.to(wide) for p in parameters]
    sums = [torch.zeros_like(p, dtype=widest(p.device)) for p in parameters]
    dx_NxGF = torch.empty_like(x_NxGF)
    for start, stop in _parts(x_NxGF):
        part, *others = kernel.backward(dy_NxF[start:stop].to(wide), x_NxGF[start:stop].to(wide), *own, *constants)
        dx_NxGF[start:stop] = part
        for total, other in zip(sums, others, strict=True):
            total += other
    return dx_NxGF, *(total.to(p.dtype) for total, p in zip(sums, parameters, strict=True))


def widest(device: torch.device) -> torch.dtype:
    """What sums of many rows are kept in; Apple's GPUs have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _parts(x_NxGF: Tensor) -> list[tuple[int, int]]:
    rows = max(1, ELEMENTS // max(1, x_NxGF.shape[-1]))
    return [(start, min(start + rows, len(x_NxGF))) for start in range(0, len(x_NxGF), rows)]
