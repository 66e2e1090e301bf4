"""How far rounding carries a computation: it is run again with every operation's result disturbed at random.

Monte Carlo arithmetic (Parker, UCLA CSD-970002, 1997) needs no analysis of the formula at hand: what it shows
includes cancellation, such as that of a normalised row of length one, whose gradient is a difference of equals.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from polybench.measure.instruments.dispatching import mode


def unit_roundoff(dtype: torch.dtype) -> float:
    """u: the largest relative error of rounding to nearest, 2^-24 in float32 and 2^-8 in bfloat16."""
    return float(torch.finfo(dtype).eps) / 2


def summing_roundoff(dtype: torch.dtype) -> float:
    """u of the type that sums are accumulated in: never narrower than float32."""
    return min(unit_roundoff(dtype), unit_roundoff(torch.float32))


def disturbed(dtype: torch.dtype, device: str, largest: int, seed: int) -> Any:
    """Where this is entered, every floating result is multiplied by 1 + u xi with xi from N(0, 1), backward included.

    A result of fewer elements than its operand is a sum of n = operand / result terms, whose error grows as
    sqrt(n) in whatever order it is taken (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019): its terms and
    itself are disturbed by sqrt(n) times the roundoff of the accumulator. Views are no arithmetic and stay.

    Only eager code belongs inside: a compiled function would stay eager afterwards. `largest` is the number of
    elements of the largest tensor, or about.
    """
    return mode(_Disturbed, dtype, device, largest, seed)


class _Disturbed:
    def __init__(self, dtype: torch.dtype, device: str, largest: int, seed: int):
        super().__init__()
        self._unit = unit_roundoff(dtype)
        self._summing = summing_roundoff(dtype)
        self._places = random.Random(seed)
        # A slice at a random place costs a tenth of drawing anew.
        normal = torch.Generator().manual_seed(seed)
        self._normal = torch.randn(2 * largest, generator=normal, dtype=torch.float64).to(device)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        operands = [t for t in tree_leaves((args, given)) if isinstance(t, Tensor)]
        places = {t.untyped_storage().data_ptr() for t in operands}
        found = [t for t in tree_leaves(result) if isinstance(t, Tensor) and t.is_floating_point() and t.numel()]
        if not found or any(t.untyped_storage().data_ptr() in places for t in found):
            return result
        terms = max([1, *(t.numel() // min(r.numel() for r in found) for t in operands if t.is_floating_point())])
        unit = self._unit
        if terms > 1:
            summing = self._summing * math.sqrt(terms)
            args, given = tree_map_only(Tensor, lambda t: self._disturb(t, summing), (args, given))
            result, unit = func(*args, **given), max(unit, summing)
        return tree_map_only(Tensor, lambda t: self._disturb(t, unit), result)

    def _disturb(self, x: Tensor, unit: float) -> Tensor:
        if not x.is_floating_point():
            return x
        count, table = x.numel(), self._normal
        if count > len(table):
            table = table.repeat(-(-count // len(table)))
        start = self._places.randrange(len(table) - count + 1)
        return x * (1 + unit * table[start : start + count].view(x.shape)).to(x.dtype)
