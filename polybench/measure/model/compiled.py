"""A whole model compiled as a training compiles it, however many of its class there are in the process."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn


def compiled(module: nn.Module, known_as: Hashable) -> Callable[..., Any]:
    """torch.compile of its call; models that are built alike are `known_as` the same, and compiled once.

    torch keeps what it compiled with the code object. Models of one class share theirs, so each call would try the
    guards of all others first, and past the eighth model torch would run it eagerly without a word.
    """

    def run(*inputs: Any) -> Any:
        return module(*inputs)

    code = _own(known_as, run.__code__)
    whole: Callable[..., Any] = torch.compile(FunctionType(code, run.__globals__, code.co_name, None, run.__closure__))
    return whole


@cache
def _own(known_as: Hashable, code: CodeType) -> CodeType:
    """The same code object again for what is known as the same, and never for another."""
    return code.replace(co_name=f"run_{_own.cache_info().misses}")
