"""Kernels in C++ as functions of tensors: what is served is handed over by address, all else is somebody else's."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from polybench.kernels.kernel import Kernel
from polybench.kernels.library import library

# Dimension key: N rows, F hidden width, G branches.

# `Call` and `Type` of cpu/call.h: x, dy and out, three parameters, their gradients; six whole numbers; constants.
_CALL = struct.Struct("=3Q3Q3Q6q8d")
_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_SERVED = 0
_PARAMETERS, _CONSTANTS = 3, 8
_GRAIN = 2**15  # numbers of the input below which starting a second thread costs more than it saves

Entry = Callable[[bytes], int]


@cache
def entries(name: str) -> tuple[Entry, Entry] | None:
    """NAME_forward and NAME_backward; None where the library has none, or there is no library."""
    found = library()
    try:
        both = [getattr(found.functions, f"{name}_{way}") for way in ("forward", "backward")] if found else []
    except AttributeError:
        both = []
    for entry in both:
        entry.argtypes, entry.restype = [ctypes.c_char_p], ctypes.c_int
    return (both[0], both[1]) if both else None


def forward(kernel: Kernel, x_NxGF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]) -> Tensor | None:
    """(N, F) of a contiguous input on the CPU; None where the library does not serve it."""
    both = entries(kernel.name)
    if both is None or not _served(x_NxGF, parameters):
        return None
    y_NxF = x_NxGF.new_empty(len(x_NxGF), x_NxGF.shape[-1] // kernel.branches)
    done = both[0](_packed(x_NxGF, 0, y_NxF, parameters, (), constants, y_NxF.shape[-1]))
    return y_NxF if done == _SERVED else None


def backward(
    kernel: Kernel, dy_NxF: Tensor, x_NxGF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]
) -> tuple[Tensor, ...] | None:
    """dx and a gradient for each parameter, all contiguous on the CPU; None where the library does not serve it."""
    both = entries(kernel.name)
    if both is None or not _served(x_NxGF, parameters):
        return None
    made = [torch.empty_like(x_NxGF), *map(torch.empty_like, parameters)]
    call = _packed(x_NxGF, dy_NxF.data_ptr(), made[0], parameters, made[1:], constants, dy_NxF.shape[-1])
    return tuple(made) if both[1](call) == _SERVED else None


def _served(x_NxGF: Tensor, parameters: Sequence[Tensor]) -> bool:
    """One type for all parameters, of which the library knows it and the input's."""
    return (
        x_NxGF.dtype in _TYPES
        and x_NxGF.numel() > 0
        and all(p.dtype == parameters[0].dtype and p.dtype in _TYPES and p.is_contiguous() for p in parameters)
    )


def _packed(
    x_NxGF: Tensor,
    dy: int,
    out: Tensor,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    constants: Sequence[float],
    width: int,
) -> bytes:
    dtype = x_NxGF.dtype
    return _CALL.pack(
        *(x_NxGF.data_ptr(), dy, out.data_ptr()),
        *_filled([p.data_ptr() for p in parameters], _PARAMETERS),
        *_filled([g.data_ptr() for g in gradients], _PARAMETERS),
        *(len(x_NxGF), width, _TYPES[dtype], _TYPES[parameters[0].dtype if parameters else dtype]),
        *(parameters[0].numel() if parameters else 0, _threads(x_NxGF.numel())),
        *_filled(constants, _CONSTANTS),
    )


def _filled(values: Sequence[float], count: int) -> list[float]:
    return [*values, *[0] * (count - len(values))]


def _threads(numbers: int) -> int:
    return 1 if numbers < _GRAIN or _alone else torch.get_num_threads()


_alone = False  # whether this process is a copy of one that had threads: a copy has none of them


def _note_fork() -> None:
    global _alone
    _alone = _alone or _several


_several = False


def _look_for_threads() -> None:
    """OpenMP in a copy would wait for ever for the threads that it thinks it has."""
    global _several
    try:
        _several = len(os.listdir("/proc/self/task")) > 1
    except OSError:
        _several = True


os.register_at_fork(before=_look_for_threads, after_in_child=_note_fork)
