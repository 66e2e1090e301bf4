"""Operators under vmap: each call of a batch by itself, but all at once where rows are all that there are more of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# Dimension key: B the batch of vmap, which a tensor has at its own place or not at all.


def all_at_once(operator: Callable[..., Any]) -> Callable[..., Any]:
    """A rule of vmap for (x, *others) -> y, whose rows do not know each other, as long as only x is of a batch. A batch
    of single numbers is no row: each by itself is refused."""
    one_by_one = each(operator)

    def rule(info: Any, places: Sequence[int | None], x_GF: Tensor, *others: Any) -> tuple[Any, Any]:
        if any(place is not None for place in places[1:]) or places[0] is None or x_GF.dim() == 1:
            return one_by_one(info, places, x_GF, *others)
        return operator(x_GF.movedim(places[0], 0), *others), 0

    return rule


def each(operator: Callable[..., Any]) -> Callable[..., Any]:
    """A rule of vmap that calls an operator as often as the batch is large: sums over rows are of one call each."""

    def rule(info: Any, places: Sequence[int | None], *inputs: Any) -> tuple[Any, Any]:
        calls = [
            operator(*(t if place is None else t.select(place, i) for t, place in zip(inputs, places, strict=True)))
            for i in range(info.batch_size)
        ]
        if isinstance(calls[0], Tensor):
            return torch.stack(calls), 0
        stacked = tuple(torch.stack(parts) for parts in zip(*calls, strict=True))
        return stacked, tuple(0 for _ in stacked)

    return rule
