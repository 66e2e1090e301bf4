"""A whole model compiled as a training compiles it, however many of its class there are in the process."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import nn


def compiled(module: nn.Module) -> Callable[..., Any]:
    """torch.compile of its call, kept apart from that of every other model.

    torch keeps what it compiled with the code object. Models of one class share theirs, so each call would try the
    guards of all others first, and past the eighth model torch would run it eagerly without a word.
    """

    def run(*inputs: Any) -> Any:
        return module(*inputs)

    code = run.__code__.replace(co_name=f"run_{id(module)}")
    own = FunctionType(code, run.__globals__, code.co_name, None, run.__closure__)
    whole: Callable[..., Any] = torch.compile(own)
    return whole
