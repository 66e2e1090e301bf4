"""Bytes: what autograd saves for backward, the peak of live memory, and what operators move."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_LET_GO_S = 0.01  # in which autograd's threads let go of what an earlier backward pass made


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
        time.sleep(_LET_GO_S)
        torch.cuda.reset_peak_memory_stats()
        # What was asked for. A block that is handed out may be up to a MiB larger, as what was freed before has it,
        # so that repeats of a decoder on an H200 differed.
        before = torch.cuda.memory_stats()["requested_bytes.all.current"]
        # A thread of the device's own would free the last gradients a moment after this one has gone on.
        with torch.autograd.set_multithreading_enabled(False):
            work()
        torch.cuda.synchronize()
        return int(torch.cuda.memory_stats()["requested_bytes.all.peak"] - before)
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


def moved_bytes(work: Callable[[], object]) -> int:
    """Bytes of the inputs and outputs of every operator of `work`, views left out.

    What each would move if nothing stayed in a cache: the traffic of running operator by operator.
    Not for compiled calls, which a dispatch mode would run as eager ones.
    """
    counter = _Traffic()
    with counter:
        work()
    return counter.bytes


class _Traffic(TorchDispatchMode):
    """Counts a tensor once for each operator that reads it and once for each that writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and not _makes_nothing(func):
            for part in ((args, kwargs), result):  # what is changed in place is read and written
                tensors = [t for t in tree_leaves(part) if isinstance(t, Tensor)]
                self.bytes += sum({(t.data_ptr(), _extent(t)): _extent(t) for t in tensors}.values())
        return result


def _extent(x: Tensor) -> int:
    """Bytes of the elements of a tensor, one that is repeated by expanding counted once."""
    return x.element_size() * math.prod(n for n, step in zip(x.shape, x.stride(), strict=True) if step or n == 0)


def _makes_nothing(func: Any) -> bool:
    """Allocation alone touches no byte."""
    return str(func.overloadpacket).startswith(("aten.empty", "aten.detach", "aten._reshape_alias"))


def resident_bytes(work: Callable[[], object]) -> int | None:
    """How far `work` raises the process's resident memory above what it was; None where Linux does not tell."""
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
        before = _kilobytes(status, "VmRSS")
        work()
        return 1024 * max(0, _kilobytes(status, "VmHWM") - before)
    except (OSError, StopIteration):
        return None


def _kilobytes(status: Path, name: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{name}:"))
