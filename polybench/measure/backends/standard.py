"""The backends every torch has. A backend maps a module's call to another call with equal results."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from polybench.errors import Unsupported
from polybench.measure.model.build import Call
from polybench.registry import backends

MOST_VERSIONS = 64  # of one compiled function in one process


@backends.register("eager", source="PyTorch")
def eager(call: Call) -> Call:
    """Operator by operator, as written."""
    return call


@backends.register("compile", source="PyTorch, TorchInductor")
def compiled(call: Call) -> Call:
    """torch.compile with its default mode: operators fused by a generated kernel."""
    return _inductor(call, "default")


@backends.register("max_autotune", source="PyTorch, TorchInductor")
def autotuned(call: Call) -> Call:
    """torch.compile with every kernel tuned on the machine, max-autotune-no-cudagraphs.

    Without CUDA graphs, because a graph writes its output into the same memory at every call: the
    output of one call would be overwritten by the next, which is no fair exchange for eager's. The
    timer replays short calls of every backend alike in graphs of its own.
    """
    return _inductor(call, "max-autotune-no-cudagraphs")


@backends.register("checkpoint", source="PyTorch; BryceZhuo/PolyCom@0ed8ad4")
def checkpointed(call: Call) -> Call:
    """Eager, with everything between input and output computed again in backward."""
    from torch.utils.checkpoint import checkpoint

    def recomputed(*inputs: Any) -> Any:
        return checkpoint(call, *inputs, use_reentrant=False, preserve_rng_state=False)

    return recomputed


def _inductor(call: Call, mode: str) -> Call:
    """Raises Unsupported where TorchInductor has nothing to compile with: C++ for the CPU, Triton for a GPU."""
    import torch

    if not hasattr(torch, "compile"):
        raise Unsupported("this torch has no torch.compile")
    # The compiler that torch takes, torch/_inductor/config.py: CXX, else one name and no other.
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if not torch.cuda.is_available() and not shutil.which(name):
        raise Unsupported(
            f"torch.compile needs a C++ compiler for the CPU and finds no {name!r}: install it, or name another in CXX"
        )
    from torch._dynamo import config

    # One function may be compiled for many activations, sizes and types; torch would run the ninth eagerly in silence.
    config.recompile_limit, config.fail_on_recompile_limit_hit = MOST_VERSIONS, True
    return torch.compile(call, mode=mode, dynamic=False)
