"""The largest input that an activation survives: a bisection over the numbers of a type, which are in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polybench.measure.instruments.precision import forward_backward
from polybench.measure.model.build import Call

# Dimension key: N rows, F hidden width, G branches.

OFF = 1 / 8  # of the exact outputs; to lose one of five equal terms is 0.28, a dozen roundings of bfloat16 are 0.05
_CODES = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes; non-negative numbers are ordered as these


@dataclass(frozen=True)
class Edge:
    """Where surviving ends: `largest` is the last number of the type that does, all up to it from 1 being taken to.

    `again` is the least power of two beyond that survives after all; None where there is none.
    """

    largest: float
    again: float | None = None


def edge(survives: Callable[[float], bool], dtype: torch.dtype) -> Edge | None:
    """The edge above 1: every power of two is tried, and between the first that fails and the one before, bisection.

    None where 1 does not survive.
    """
    powers = [2.0**k for k in range(math.frexp(torch.finfo(dtype).max)[1])]
    held = [survives(power) for power in powers]
    if not held[0]:
        return None
    first = held.index(False) if False in held else len(held)
    low = _code(powers[first - 1], dtype)
    high = _code(powers[first] if first < len(powers) else math.inf, dtype)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if survives(_number(middle, dtype)) else (low, middle)
    again = next((power for power, good in zip(powers[first:], held[first:], strict=True) if good), None)
    return Edge(_number(low, dtype), again)


@dataclass(frozen=True)
class Outlier:
    """Whether a call survives one large value: the first of a row in every branch, the others 0; then its negative.

    It survives where output and gradients are finite, and the outputs there are within `OFF` of what `exactly` gives,
    in the norm over both signs: a term that a norm of infinity made 0 is lost. The upstream gradient is 1. All
    `rows` are alike, and the gradient of all but the first is 0: how many there are changes nothing.
    """

    call: Call
    exactly: nn.Module
    parameters: tuple[Tensor, ...]
    branches: int
    width: int
    rows: int
    dtype: torch.dtype
    device: str

    def survives(self, size: float) -> bool:
        found, exact = [], []
        for value in (size, -size):
            x_NxGxF = torch.zeros(self.rows, self.branches, self.width, dtype=self.dtype, device=self.device)
            x_NxGxF[..., 0] = value
            dy_NxF = torch.zeros_like(x_NxGxF[:, 0])
            dy_NxF[0] = 1
            x_NxGF = x_NxGxF.flatten(1)
            results = forward_backward(self.call, self.parameters, x_NxGF, dy_NxF)
            if not all(bool(torch.isfinite(result).all()) for result in results):
                return False
            with torch.no_grad():
                exact.append(float(self.exactly(x_NxGF[:1].double())[0, 0]))
            found.append(float(results[0][0, 0]))
        return math.dist(found, exact) <= OFF * math.hypot(*exact)


def _code(number: float, dtype: torch.dtype) -> int:
    return int(torch.tensor(number, dtype=dtype).view(_CODES[dtype.itemsize]))


def _number(code: int, dtype: torch.dtype) -> float:
    return float(torch.tensor(code, dtype=_CODES[dtype.itemsize]).view(dtype))
