"""Kernels in C++ as functions of tensors, which are handed over by address."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from polybench.kernels.kernel import Kernel
from polybench.kernels.library import library
from polybench.kernels.threads import threads

# Dimension key: F hidden width, G branches.

Entry = Callable[[bytes], int]

# As in cpu/call.h.
TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
_SERVED = 0
_PARAMETERS, _CONSTANTS, _WORD = 3, 8, 8
_NO_TYPE = TYPES[torch.float32]  # of parameters where there are none


@dataclass(frozen=True)
class Native:
    """A kernel of the library. Inputs are on the CPU, contiguous and not empty, parameters of one type of `TYPES`."""

    branches: int
    forward_entry: Entry
    backward_entry: Entry
    forward_call: struct.Struct
    backward_call: struct.Struct

    def forward(self, x_GF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]) -> Tensor | None:
        """(..., F) for (..., G*F); None where the library does not serve it."""
        if self.branches == 1:
            y_F = torch.empty_like(x_GF)
        else:
            y_F = x_GF.new_empty((*x_GF.shape[:-1], x_GF.shape[-1] // self.branches))
        where = [p.data_ptr() for p in parameters]
        call = self.forward_call.pack(
            x_GF.data_ptr(), y_F.data_ptr(), *where, *self._told(x_GF, parameters), *constants
        )
        return y_F if self.forward_entry(call) == _SERVED else None

    def backward(
        self, dy_F: Tensor, x_GF: Tensor, parameters: Sequence[Tensor], constants: Sequence[float]
    ) -> tuple[Tensor, ...] | None:
        """dx and a gradient for each parameter; None where the library does not serve it."""
        made = [torch.empty_like(x_GF), *[torch.empty_like(p) for p in parameters]]
        where = [t.data_ptr() for t in (x_GF, dy_F, made[0], *parameters, *made[1:])]
        call = self.backward_call.pack(*where, *self._told(x_GF, parameters), *constants)
        return tuple(made) if self.backward_entry(call) == _SERVED else None

    def _told(self, x_GF: Tensor, parameters: Sequence[Tensor]) -> tuple[int, ...]:
        """rows, width, type, parameter_type, order, threads."""
        numbers, long = x_GF.numel(), x_GF.shape[-1]
        kind, order = (TYPES[parameters[0].dtype], len(parameters[0])) if parameters else (_NO_TYPE, 0)
        return numbers // long, long // self.branches, TYPES[x_GF.dtype], kind, order, threads(numbers)


@cache
def native(kernel: Kernel) -> Native | None:
    """The kernel in the library of this machine; None where that lacks it, or there is none."""
    found = library()
    try:
        both = [getattr(found.functions, f"{kernel.name}_{way}") for way in ("forward", "backward")] if found else []
    except AttributeError:
        both = []
    if not both:
        return None
    for entry in both:
        entry.argtypes, entry.restype = [ctypes.c_char_p], ctypes.c_int
    # `Call`: x, dy, out; parameters; their gradients; six whole numbers; constants. What is left out is 0.
    own, rest = len(kernel.parameters), _CONSTANTS - len(kernel.constants)
    given, none = f"{own}Q{_WORD * (_PARAMETERS - own)}x", f"{_WORD * _PARAMETERS}x"
    end = f"6q{len(kernel.constants)}d{_WORD * rest}x"
    forward, backward = f"=Q{_WORD}xQ{given}{none}{end}", f"=3Q{given}{given}{end}"
    return Native(kernel.branches, both[0], both[1], struct.Struct(forward), struct.Struct(backward))
