"""Bytes: what autograd saves for backward, the peak of live memory, and what operators move."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves

from polybench.measure.instruments.dispatching import mode

_NUMBER = 8  # bytes: a number of the formula, such as the 2 of x / 2, which autograd keeps and nobody counts
_LET_GO_S = 0.01  # in which autograd's threads let go of what an earlier backward pass made


@dataclass(frozen=True)
class Kept:
    """Bytes that are kept between forward and backward, and those of them that autograd's hooks are not shown."""

    bytes: int
    unseen: int


def saved_bytes(forward: Callable[[], Tensor], parameters: Iterable[Tensor] = ()) -> int:
    """Bytes that `forward` keeps for backward on the CPU: each storage once, parameters left out."""
    return kept(forward, parameters, "cpu").bytes


def kept(forward: Callable[[], Tensor], parameters: Iterable[Tensor], device: str) -> Kept:
    """What `forward` keeps for backward on a device: each storage once, parameters left out.

    The input counts when it is kept, because without this block nobody would keep it. Autograd's hooks are shown what
    goes through save_for_backward. What a function keeps on its `ctx` instead is looked for there; and of whatever
    else was allocated and is still alive beside the output, the bytes are counted.
    """
    owned = {p.untyped_storage().data_ptr() for p in parameters}
    hooked: list[_Storage] = []

    def pack(tensor: Tensor) -> Tensor:
        hooked.append(_Storage.of(tensor))
        return tensor.detach()  # an output that leads to its graph would keep that alive for ever

    def hooked_forward() -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            return forward()

    with _new_garbage_alone():
        result, alive = _alive_after(hooked_forward, device)
        seen = {s.pointer: s for s in hooked if s.alive and s.pointer not in owned}
        on_ctx = {s.pointer: s for s in map(_Storage.of, _on_ctx(result)) if s.pointer not in owned}
        held, output = on_ctx | seen, _Storage.of(result)
        del result
        gc.collect()
        made = {s.pointer: s.bytes for s in (output, *held.values()) if not s.alive and s.device == device}
        made = {pointer: size for pointer, size in made.items() if size > _NUMBER}
    unseen = sum(s.bytes for s in held.values() if s.pointer not in seen) + max(0, alive - sum(made.values()))
    return Kept(sum(s.bytes for s in seen.values()) + unseen, unseen)


@dataclass(frozen=True)
class _Storage:
    """The memory of a tensor, which is not kept alive by this; another may get its address only once it is dead."""

    reference: StorageWeakRef
    pointer: int
    bytes: int
    device: str

    @classmethod
    def of(cls, tensor: Tensor) -> _Storage:
        storage = tensor.untyped_storage()
        return cls(StorageWeakRef(storage), storage.data_ptr(), storage.nbytes(), storage.device.type)

    @property
    def alive(self) -> bool:
        return not self.reference.expired()


def _on_ctx(result: Tensor) -> Iterator[Tensor]:
    """Tensors that functions of a result's graph have as attributes, by themselves or in lists and mappings."""
    todo, met = [result.grad_fn], set[Any]()
    while todo:
        function = todo.pop()
        if function is not None and function not in met:
            met.add(function)
            leaves = tree_leaves(dict(getattr(function, "__dict__", {})))
            yield from (leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.layout is torch.strided)
            todo += [following for following, _ in function.next_functions]


def _alive_after(work: Callable[[], Tensor], device: str) -> tuple[Tensor, int]:
    """What `work` gives, and how many bytes of what it allocated are alive with that."""
    results: list[Tensor] = []

    def once() -> None:
        work()
        gc.collect()

    def kept_too() -> None:
        results.append(work())
        gc.collect()

    def twice() -> None:
        once()
        kept_too()

    if device == "cpu":
        # What a module renews at every call is freed by the next one, and a profiler is told of what it saw made only.
        renewed, all_of_it = (sum(b for b in _allocations(do) if abs(b) > _NUMBER) for do in (once, twice))
        return results.pop(), all_of_it - renewed
    before = _requested_bytes()
    kept_too()
    return results.pop(), _requested_bytes() - before


@contextmanager
def _new_garbage_alone() -> Iterator[None]:
    """The collector frees nothing that was there before, and so is quick."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def peak_bytes(work: Callable[[], object], device: str) -> int:
    """Most bytes alive at once during `work`, above what was alive before it."""
    if device != "cpu":
        before = _requested_bytes()
        torch.cuda.reset_peak_memory_stats()
        # A thread of the device's own would free the last gradients a moment after this one has gone on.
        with torch.autograd.set_multithreading_enabled(False):
            work()
        torch.cuda.synchronize()
        return int(torch.cuda.memory_stats()["requested_bytes.all.peak"] - before)
    alive = peak = 0
    for bytes_ in _allocations(work):
        alive += bytes_
        peak = max(peak, alive)
    return peak


def _allocations(work: Callable[[], object]) -> list[int]:
    """Bytes that the CPU's allocator gave during `work`, in order; less than 0 where it got them back.

    Its own events also see compiled and C++ code. torch.profiler.profile would be the same profiler behind 7 s of
    imports.
    """
    with torch.autograd.profiler.profile(use_kineto=True, profile_memory=True) as profiler:
        work()
    events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
    return [event.nbytes() for event in sorted(events, key=lambda e: e.start_ns())]


def _requested_bytes() -> int:
    """Of the GPU's memory what was asked for and is alive.

    A block that is handed out may be up to a MiB larger, as what was freed before has it, so that repeats of a decoder
    on an H200 differed.
    """
    torch.cuda.synchronize()
    time.sleep(_LET_GO_S)
    return int(torch.cuda.memory_stats()["requested_bytes.all.current"])


def moved_bytes(work: Callable[[], object]) -> int:
    """Bytes of the inputs and outputs of every operator of `work`, views left out.

    What each would move if nothing stayed in a cache: the traffic of running operator by operator.
    Not for compiled calls, which a dispatch mode would run as eager ones.
    """
    with mode(_Traffic) as counter:
        work()
    return int(counter.bytes)


class _Traffic:
    """Counts a tensor once for each operator that reads it and once for each that writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and not makes_nothing(func):
            for part in ((args, kwargs), result):  # what is changed in place is read and written
                tensors = [t for t in tree_leaves(part) if isinstance(t, Tensor)]
                self.bytes += sum({(t.data_ptr(), _extent(t)): _extent(t) for t in tensors}.values())
        return result


def _extent(x: Tensor) -> int:
    """Bytes of the elements of a tensor, one that is repeated by expanding counted once."""
    return x.element_size() * math.prod(n for n, step in zip(x.shape, x.stride(), strict=True) if step or n == 0)


def makes_nothing(func: Any) -> bool:
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
