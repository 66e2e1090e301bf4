"""The backends every torch has. A backend maps a module's call to another call with equal results."""

from __future__ import annotations

from typing import Any

from polybench.measure.model.build import Call
from polybench.measure.model.compiled import by_inductor
from polybench.registry import backends


@backends.register("eager", source="PyTorch")
def eager(call: Call) -> Call:
    """Operator by operator, as written."""
    return call


@backends.register("compile", source="PyTorch, TorchInductor", compiles=True)
def compiled(call: Call) -> Call:
    """torch.compile with its default mode: operators fused by a generated kernel."""
    return by_inductor(call, mode="default", dynamic=False)


@backends.register("max_autotune", source="PyTorch, TorchInductor", compiles=True)
def autotuned(call: Call) -> Call:
    """torch.compile with every kernel tuned on the machine, max-autotune-no-cudagraphs.

    Without CUDA graphs, because a graph writes its output into the same memory at every call: the
    output of one call would be overwritten by the next, which is no fair exchange for eager's. The
    timer replays short calls of every backend alike in graphs of its own.
    """
    return by_inductor(call, mode="max-autotune-no-cudagraphs", dynamic=False)


@backends.register("checkpoint", source="PyTorch; BryceZhuo/PolyCom@0ed8ad4")
def checkpointed(call: Call) -> Call:
    """Eager, with everything between input and output computed again in backward."""
    from torch.utils.checkpoint import checkpoint

    def recomputed(*inputs: Any) -> Any:
        return checkpoint(call, *inputs, use_reentrant=False, preserve_rng_state=False)

    return recomputed
