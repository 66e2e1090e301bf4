"""Bytes: what autograd saves for backward, and the peak of live memory. Exact on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


def saved_bytes(forward: Callable[[], Tensor], parameters: Iterable[Tensor] = ()) -> int:
    """Bytes that `forward` keeps for backward: each storage once, parameters left out.

    The input counts when it is kept, because without this block nobody would keep it.
    """
    owned = {p.untyped_storage().data_ptr() for p in parameters}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []  # a storage that died could hand its address to another

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            kept[storage.data_ptr()] = storage.nbytes()
        alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    del result
    return sum(kept.values())


def peak_bytes(work: Callable[[], object], device: str) -> int:
    """Most bytes alive at once during `work`, above what was alive before it."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    # The allocator's own events also see compiled and C++ code. torch.profiler.profile would be the
    # same profiler behind 7 s of imports.
    with torch.autograd.profiler.profile(use_kineto=True, profile_memory=True) as profiler:
        work()
    events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return peak
