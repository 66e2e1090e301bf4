"""What else the machine did between two moments: other work, stolen time, throttling, swapping."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from polybench.machine.container import limits
from polybench.machine.hardware import affinity


@dataclass(frozen=True)
class Ticks:
    """The machine's counters at one moment; only their differences mean something."""

    wall_s: float
    busy_s: float  # of the processors that this process may use
    stolen_s: float  # what a hypervisor gave to others while a thread here was ready to run
    own_s: float  # of this process and of those it started that have ended
    throttled: int  # periods stopped by the container's quota
    swapped_bytes: int  # in and out


@dataclass(frozen=True)
class Window:
    """What happened in `seconds`."""

    seconds: float
    other_cores: float  # processors kept busy by others, on average
    stolen_cores: float
    throttled: int
    swapped_bytes: int


def ticks() -> Ticks:
    """The counters now. Linux counts processor time in hundredths of a second."""
    import psutil

    every = psutil.cpu_times(percpu=True)
    mine = [every[i] for i in affinity() if i < len(every)] or every
    swap, spent = psutil.swap_memory(), os.times()
    return Ticks(
        wall_s=time.monotonic(),
        busy_s=sum(getattr(t, f, 0.0) for t in mine for f in ("user", "nice", "system", "irq", "softirq")),
        stolen_s=sum(getattr(t, "steal", 0.0) for t in mine),
        own_s=spent.user + spent.system + spent.children_user + spent.children_system,
        throttled=limits().throttled,
        swapped_bytes=swap.sin + swap.sout,
    )


def change(one: Ticks, other: Ticks) -> Window:
    """What changed from one moment to another; counters that ran backwards, as after a restart, count as still."""
    seconds = other.wall_s - one.wall_s
    busy = (other.busy_s - one.busy_s) - (other.own_s - one.own_s)
    if seconds <= 0:
        return Window(0.0, 0.0, 0.0, 0, 0)
    return Window(
        seconds=seconds,
        other_cores=max(0.0, busy) / seconds,
        stolen_cores=max(0.0, other.stolen_s - one.stolen_s) / seconds,
        throttled=max(0, other.throttled - one.throttled),
        swapped_bytes=max(0, other.swapped_bytes - one.swapped_bytes),
    )
