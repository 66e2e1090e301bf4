"""Clocks and samples: how long the forward and the backward pass of one call take; a GPU has a timer of its own."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch

from polybench.measure.instruments.workshop import Arm

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
    update: float | None = None  # the optimizer's, where there is one

    @property
    def total(self) -> float:
        return self.forward + self.backward

    @property
    def step(self) -> float:
        """With the optimizer's part, where there is one."""
        return self.total + (self.update or 0.0)


class Timer(Protocol):
    """What takes samples; `cost` is the seconds that reading its clock takes.

    A block takes up to `most_rounds` samples of everything, in turns.
    """

    cost: float
    most_rounds: int

    def sample(self, arm: Arm) -> Sample: ...

    def work(self, call: Callable[[], object]) -> float: ...

    def how(self, arm: Arm) -> str: ...


class CpuTimer:
    """By the clock of so many threads."""

    most_rounds = 1000

    def __init__(self, threads: int):
        self._now = clock_of("cpu", threads)
        self._who = resource.RUSAGE_THREAD if threads == 1 else resource.RUSAGE_SELF
        self.cost = _cost(self._now)

    def sample(self, arm: Arm) -> Sample:
        """One call, the clock's own cost taken off. Raises ArithmeticError when the clock goes back."""
        faults = resource.getrusage(self._who).ru_minflt
        wall = time.perf_counter()
        start = self._now()
        output = arm.forward()
        middle = self._now()
        gradients = arm.backward(output)
        end = self._now()
        wall = time.perf_counter() - wall
        faults = resource.getrusage(self._who).ru_minflt - faults
        update = self.work(partial(arm.update, gradients)) if arm.update else None
        del output, gradients
        return Sample(self._net(start, middle), self._net(middle, end), wall, faults, update=update)

    def work(self, call: Callable[[], object]) -> float:
        """Seconds of one call of anything without gradients."""
        start = self._now()
        call()
        return self._net(start, self._now())

    def how(self, arm: Arm) -> str:
        """The clock in words."""
        return "CPU time of the thread" if self._now is time.thread_time else "the wall clock"

    def _net(self, start: float, end: float) -> float:
        if end < start:
            raise ArithmeticError("the clock went back during a sample, so nothing was timed")
        return end - start - self.cost


def clock_of(device: str, threads: int, processes: int = 1) -> Clock:
    """Seconds: of this thread where it does all of the work and waits for none, else of the wall.

    The thread's own are taken because a shared machine steals wall time. A GPU is waited for.
    """
    if device == "cpu":
        return time.thread_time if threads == processes == 1 else time.perf_counter

    def wall() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wall


def wake() -> None:
    """Take the first backward pass of a process, which imports for seconds, out of the first call's time."""
    x = torch.ones(1, requires_grad=True)
    torch.autograd.grad(torch.relu(x), x, torch.ones(1))


def wake_compiler(device: str = "cpu") -> None:
    """The same for the first compilation of a process; on a GPU without the C++ compiler, tried for half a minute."""
    with suppress(ImportError):
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # its thread would keep this process from being copied
    with suppress(Exception):  # whoever cannot compile is told so when an arm is made
        torch.compile(torch.neg)(torch.ones(3, device=device))


def _cost(now: Clock) -> float:
    """Median seconds between two readings in a row."""
    pairs: Sequence[float] = [-(now() - now()) for _ in range(501)]
    return max(0.0, statistics.median(pairs))
