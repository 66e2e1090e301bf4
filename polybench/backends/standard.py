"""The backends every torch has. A backend maps a module's call to another call with equal results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polybench.errors import Unsupported
from polybench.registry import backends

Call = Callable[..., Any]


@backends.register("eager", source="PyTorch")
def eager(call: Call) -> Call:
    """Operator by operator, as written."""
    return call


@backends.register("compile", source="PyTorch, TorchInductor")
def compiled(call: Call) -> Call:
    """torch.compile with its default mode: operators fused by a generated kernel."""
    import torch

    if not hasattr(torch, "compile"):
        raise Unsupported("this torch has no torch.compile")
    _compiler_or_unsupported()
    return torch.compile(call, dynamic=False)


@backends.register("checkpoint", source="PyTorch; BryceZhuo/PolyCom@0ed8ad4")
def checkpointed(call: Call) -> Call:
    """Eager, with everything between input and output computed again in backward."""
    from torch.utils.checkpoint import checkpoint

    def recomputed(*inputs: Any) -> Any:
        return checkpoint(call, *inputs, use_reentrant=False, preserve_rng_state=False)

    return recomputed


def _compiler_or_unsupported() -> None:
    """TorchInductor needs a C++ compiler for the CPU and Triton for a GPU."""
    import shutil

    import torch

    if torch.cuda.is_available():
        return
    if not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise Unsupported("torch.compile needs a C++ compiler here: install g++ or clang++")
