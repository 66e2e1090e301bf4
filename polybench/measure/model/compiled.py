"""How anything here is compiled: an activation's call, or a whole model, however many of its class there are."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Hashable
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn

from polybench.errors import Unsupported

MOST_VERSIONS = 64  # of one compiled function in one process


def by_inductor(call: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """torch.compile with these options. Nothing is compiled before the first call, which fails where torch's limit of
    versions is reached, instead of running eagerly without a word.

    Raises:
        Unsupported: TorchInductor has nothing to compile with: C++ for the CPU, Triton for a GPU.
    """
    if not hasattr(torch, "compile"):
        raise Unsupported("this torch has no torch.compile")
    # The compiler that torch takes, torch/_inductor/config.py: CXX, else one name and no other.
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if not torch.cuda.is_available() and not shutil.which(name):
        raise Unsupported(
            f"torch.compile needs a C++ compiler for the CPU and finds no {name!r}: install it, or name another in CXX"
        )
    from torch._dynamo import config

    # One function may be compiled for many activations, sizes and types; torch would run the ninth eagerly in silence,
    # and where errors are suppressed whatever it cannot compile.
    config.suppress_errors = False
    config.recompile_limit, config.fail_on_recompile_limit_hit = MOST_VERSIONS, True
    compiled_call: Callable[..., Any] = torch.compile(call, **options)
    return compiled_call


def compiled(module: nn.Module, known_as: Hashable) -> Callable[..., Any]:
    """The call of a whole model; models that are built alike are `known_as` the same, and compiled once.

    torch keeps what it compiled with the code object. Models of one class share theirs, so each call would try the
    guards of all others first, and past the eighth model torch would run it eagerly without a word.

    Raises:
        Unsupported: as `by_inductor`.
    """

    def run(*inputs: Any) -> Any:
        return module(*inputs)

    code = _own(known_as, run.__code__)
    return by_inductor(FunctionType(code, run.__globals__, code.co_name, None, run.__closure__))


@cache
def _own(known_as: Hashable, code: CodeType) -> CodeType:
    """The same code object again for what is known as the same, and never for another."""
    return code.replace(co_name=f"run_{_own.cache_info().misses}")
