"""What a kernel is given, held to its declaration: one sentence where it does not fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from polybench.kernels.kernel import ORDERS, Kernel

# Dimension key: F hidden width, G branches.

TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check(kernel: Kernel, x_GF: Tensor, parameters: Sequence[Tensor]) -> None:
    """
    Raises:
        TypeError: the input or a parameter is no dense tensor of floating-point numbers.
        ValueError: a width that the branches do not share out, or a parameter of another size or on another device.
    """
    named = dict(zip(("x", *kernel.parameters), (x_GF, *parameters), strict=True))
    for name, tensor in named.items():
        if tensor.dtype not in TYPES or tensor.layout is not torch.strided:
            known = ", ".join(_plain(t) for t in TYPES)
            told = f"{_plain(tensor.dtype)}, {_plain(tensor.layout)}"
            raise TypeError(f"{kernel.name}: {name} is {told}; it takes dense tensors of {known}")
        if tensor.device != x_GF.device:
            raise ValueError(f"{kernel.name}: {name} is on {tensor.device} and x on {x_GF.device}; move one of them")
    if x_GF.dim() == 0 or x_GF.shape[-1] % kernel.branches:
        halves = f"a last dimension of {kernel.branches} equal parts" if kernel.branches > 1 else "a dimension"
        raise ValueError(f"{kernel.name}: x of shape {tuple(x_GF.shape)} needs {halves}")
    for name, tensor in zip(kernel.parameters, parameters, strict=True):
        if name == "weight" and (tensor.dim() != 1 or tensor.numel() not in ORDERS):
            orders = f"({ORDERS[0]},) to ({ORDERS[-1]},)"
            raise ValueError(f"{kernel.name}: weight is of shape {tuple(tensor.shape)}; it takes {orders}")
        if name != "weight" and tensor.numel() != 1:
            raise ValueError(f"{kernel.name}: {name} is of shape {tuple(tensor.shape)}; it is one number")


def _plain(named: object) -> str:
    return str(named).removeprefix("torch.")
