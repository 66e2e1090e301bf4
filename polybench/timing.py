"""Clocks and samples: how long the forward and the backward pass of one call take."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from polybench.workshop import Arm

Clock = Callable[[], float]


@dataclass(frozen=True)
class Sample:
    """Seconds of a call; the mean of several where a block takes several."""

    forward: float
    backward: float
    wall: float
    faults: float = 0.0  # pages that the kernel had to give in a call
    warm: float | None = None  # forward and backward with the caches as the call before left them
    throttled: bool = False  # taken while the device had slowed its clock down

    @property
    def total(self) -> float:
        return self.forward + self.backward


class Timer(Protocol):
    """What takes samples; `cost` is the seconds that reading its clock takes."""

    cost: float

    def sample(self, arm: Arm) -> Sample: ...

    def work(self, call: Callable[[], object]) -> float: ...


class CpuTimer:
    """Thread CPU time where one thread works, because a shared machine steals wall time; else wall time."""

    def __init__(self, threads: int):
        self._now: Clock = time.thread_time if threads == 1 else time.perf_counter
        self._who = resource.RUSAGE_THREAD if threads == 1 else resource.RUSAGE_SELF
        self.cost = _cost(self._now)

    def sample(self, arm: Arm) -> Sample:
        """One call, the clock's own cost taken off. Raises ArithmeticError when the clock goes back."""
        faults = resource.getrusage(self._who).ru_minflt
        wall = time.perf_counter()
        start = self._now()
        output = arm.forward()
        middle = self._now()
        gradients = torch.autograd.grad(output, arm.inputs, arm.gradient)
        end = self._now()
        wall = time.perf_counter() - wall
        faults = resource.getrusage(self._who).ru_minflt - faults
        del output, gradients
        return Sample(self._net(start, middle), self._net(middle, end), wall, faults)

    def work(self, call: Callable[[], object]) -> float:
        """Seconds of one call of anything without gradients."""
        start = self._now()
        call()
        return self._net(start, self._now())

    def _net(self, start: float, end: float) -> float:
        if end < start:
            raise ArithmeticError("the clock went back during a sample, so nothing was timed")
        return end - start - self.cost


class GpuTimer:
    """Events around one cold call: the L2 cache is overwritten before, outside of what is timed."""

    def __init__(self) -> None:
        size = torch.cuda.get_device_properties(0).L2_cache_size
        self._flush = torch.empty(max(1, 2 * size), dtype=torch.int8, device="cuda")
        self.cost = 0.0

    def sample(self, arm: Arm) -> Sample:
        """One call by the device's own clock; wall time includes the launches."""
        self._flush.zero_()
        events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
        torch.cuda.synchronize()
        start = time.perf_counter()
        events[0].record()
        output = arm.forward()
        events[1].record()
        gradients = torch.autograd.grad(output, arm.inputs, arm.gradient)
        events[2].record()
        torch.cuda.synchronize()
        wall = time.perf_counter() - start
        del output, gradients
        return Sample(events[0].elapsed_time(events[1]) / 1e3, events[1].elapsed_time(events[2]) / 1e3, wall)

    def work(self, call: Callable[[], object]) -> float:
        self._flush.zero_()
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3


def make_timer(device: str, threads: int) -> Timer:
    """The clock of a device."""
    return CpuTimer(threads) if device == "cpu" else GpuTimer()


def wake() -> None:
    """Take the first backward pass of a process, which imports for seconds, out of the first call's time."""
    x = torch.ones(1, requires_grad=True)
    torch.autograd.grad(torch.relu(x), x, torch.ones(1))


def _cost(now: Clock) -> float:
    """Median seconds between two readings in a row."""
    pairs: Sequence[float] = [-(now() - now()) for _ in range(501)]
    return max(0.0, statistics.median(pairs))
