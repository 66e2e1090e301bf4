"""Clocks and samples: how long the forward and the backward pass of one call take.

The GPU's timer is in gpu_timing.
"""

from __future__ import annotations

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
    """Seconds a call.

    `warm` is forward and backward with the caches as the same call left them, where a timer tells cold
    from warm; `throttled` marks a sample taken while the device ran below its clock.
    """

    forward: float
    backward: float
    wall: float
    warm: float | None = None
    throttled: bool = False


class Timer(Protocol):
    """What measures an arm; `cost` is the clock's own, in seconds a call."""

    cost: float

    def sample(self, arm: Arm, calls: int) -> Sample: ...

    def work(self, call: Callable[[], object], calls: int) -> float: ...


class CpuTimer:
    """Thread CPU time where one thread works, because a shared machine steals wall time; else wall time."""

    def __init__(self, threads: int):
        self._now: Clock = time.thread_time if threads == 1 else time.perf_counter
        self.cost = _cost(self._now)

    def sample(self, arm: Arm, calls: int) -> Sample:
        """Mean of `calls` calls, the clock's own cost taken off."""
        forward = backward = 0.0
        wall = time.perf_counter()
        for _ in range(calls):
            start = self._now()
            output = arm.forward()
            middle = self._now()
            gradients = torch.autograd.grad(output, arm.inputs, arm.gradient)
            end = self._now()
            del output, gradients
            forward += middle - start
            backward += end - middle
        wall = time.perf_counter() - wall
        return Sample(_net(forward, calls, self.cost), _net(backward, calls, self.cost), wall / calls)

    def work(self, call: Callable[[], object], calls: int) -> float:
        """Seconds a call of anything without gradients."""
        start = self._now()
        for _ in range(calls):
            call()
        return _net(self._now() - start, calls, self.cost / calls)


def wake() -> None:
    """Take the first backward pass of a process, which imports for seconds, out of the first call's time."""
    x = torch.ones(1, requires_grad=True)
    torch.autograd.grad(torch.relu(x), x, torch.ones(1))


def calls_for(timer: Timer, arm: Arm, least_s: float) -> int:
    """Calls that make a sample at least `least_s` long and 1000 times the clock's cost."""
    arm.once()
    wanted = max(least_s, 1000 * timer.cost)
    sample = timer.sample(arm, 1)
    return max(1, min(1000, round(wanted / max(sample.forward + sample.backward, 1e-7))))


def _cost(now: Clock) -> float:
    """Median seconds between two readings in a row."""
    pairs: Sequence[float] = [-(now() - now()) for _ in range(501)]
    return max(0.0, statistics.median(pairs))


def _net(total: float, calls: int, cost: float) -> float:
    """Seconds a call. Raises ArithmeticError when the clock did not move: no time is no measurement."""
    value = total / calls - cost
    if value <= 0:
        raise ArithmeticError("the clock did not move during a sample, so nothing was timed")
    return value
