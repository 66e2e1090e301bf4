"""The GPU's timer: events around cold and warm calls, launches hidden, short calls from CUDA graphs.

The tests drive it with a simulated device; results/published/gpu-crosscheck holds it against others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch

from polybench.errors import first_line
from polybench.machine import gpu_clock
from polybench.measure.instruments.timer import Clock, Sample
from polybench.measure.instruments.workshop import Arm

# Below this the gaps between launches are a part of what events see, so a graph launches all at once.
GRAPH_BELOW_S = 20e-6
COLD_CALLS = 5  # of a sample, between two readings of the clock
WARM_S = 1e-3  # seconds of replays between the two events of a warm figure,
MOST_REPLAYS = 200  # but no more than a device's queue holds: a full one would keep the CPU from being ahead
FIRST_SPIN_S = 50e-6  # spun before a call of unknown launch latency; doubled until the CPU is ahead
SPARE = 4  # times as long as launching took is spun at most
LONGEST_SPIN_S = 0.1  # a call that outlasts it waits for the device itself, and no spin helps
WAKE_S = 2e-3  # spun before a clock is read, because an idle device lowers it; an NVML query takes less
_CYCLES = 1_000_000  # of the spins that measure how fast the device spins


@dataclass
class _Lead:
    """How long the device spins first, so that the CPU has launched everything before any of it runs."""

    seconds: float = FIRST_SPIN_S
    helps: bool = True


@dataclass(frozen=True)
class _Way:
    """How an arm is executed: as it is, or by replaying graphs of its two passes.

    `backward` gives the gradients, which `update` takes where there is an optimizer. `alive` is memory that graphs
    write to, and the arm itself, whose id is the key.
    """

    forward: Callable[[], Any]
    backward: Callable[[Any], Sequence[torch.Tensor]]
    how: str
    replays: int
    alive: tuple[object, ...]
    update: Callable[[Sequence[torch.Tensor]], None] | None = None
    cold: _Lead = field(default_factory=_Lead)
    warm: _Lead = field(default_factory=_Lead)

    def once(self) -> None:
        self.backward(self.forward())


class GpuTimer:
    """Events on the device's own clock, around calls whose launches the CPU has finished before.

    *Cold*: a buffer of exactly the size of the L2 cache is written before each call, outside of the
    events. *Warm*: the call follows upon itself. Both come from CUDA graphs when a pass takes less
    than 20 us, else from the arm as it is; `how` says which. `cost` is 0: each call has events of its
    own, so more calls would not dilute what they cost, and the replays of a warm figure do.

    `cuda`, `device`, `now` and `read` are there for tests.
    """

    cost = 0.0
    most_rounds = 1  # a sample has several cold calls in it already, each apart from the others

    def __init__(
        self,
        cuda: Any = torch.cuda,
        device: str = "cuda",
        now: Clock = time.perf_counter,
        read: gpu_clock.Read | None = None,
    ):
        self._cuda, self._now = cuda, now
        properties = cuda.get_device_properties(cuda.current_device())
        self._flush = torch.empty(max(1, properties.L2_cache_size), dtype=torch.int8, device=device)
        self._read = read or gpu_clock.reader(str(properties.uuid))
        self._ways: dict[int, _Way] = {}
        self._work = _Lead()
        self._pairs: list[gpu_clock.Pair] = []
        self._hertz = 1.0
        spins = [self._timed(_Lead(0.0, helps=False), [lambda: cuda._sleep(_CYCLES)], cold=False) for _ in range(6)]
        self._hertz = _CYCLES / statistics.median(seconds for (seconds,) in spins[1:])  # the first one loads the kernel

    def sample(self, arm: Arm) -> Sample:
        """Mean of COLD_CALLS cold calls; one warm figure; wall time of one call, its launches included.

        `throttled` is judged against the readings of this timer so far.
        """
        way = self._way(arm)
        self._spin(WAKE_S)
        before = self._read()  # while the device spins
        self._cuda.synchronize()
        wall = -self._now()
        arm.once()
        self._cuda.synchronize()
        wall += self._now()

        def replay() -> None:
            for _ in range(way.replays):
                way.once()

        _, warm = self._timed(way.warm, [way.once, replay], cold=False)
        passes = zip(*(self._passes(way) for _ in range(COLD_CALLS)), strict=True)
        forward, backward, *updates = map(statistics.fmean, passes)
        self._pairs.append((before, self._read()))
        throttled = gpu_clock.throttled(self._pairs)[-1]
        update = updates[0] if updates else None
        return Sample(forward, backward, wall, warm=warm / way.replays, throttled=throttled, update=update)

    def work(self, call: Callable[[], object]) -> float:
        """Seconds a cold call of anything without gradients."""
        return statistics.fmean(self._timed(self._work, [call], cold=True)[0] for _ in range(COLD_CALLS))

    def how(self, arm: Arm) -> str:
        """One phrase that says how an arm is timed, and why no graph was used where one was wanted."""
        way = self._way(arm)
        return way.how if way.cold.helps else f"{way.how}; launches show, because the call waits for the device"

    def _passes(self, way: _Way) -> list[float]:
        """Seconds of forward and backward, cold, and of what the optimizer does then, where there is one."""
        left: list[Any] = []  # by one step for the next
        steps: list[Callable[[], object]] = [lambda: left.append(way.forward())]
        if update := way.update:
            steps += [lambda: left.append(way.backward(left.pop())), lambda: update(left.pop())]
        else:
            steps.append(lambda: way.backward(left.pop()))
        return self._timed(way.cold, steps, cold=True)

    def _timed(self, lead: _Lead, steps: Sequence[Callable[[], object]], cold: bool) -> list[float]:
        """Seconds of each step, one after the other on the device.

        Taken again with twice the spin until the first event is still pending when the last is
        recorded: then nothing ran before everything was launched. A spin that a hiccup of the CPU had
        lengthened is cut to what launching takes, for on a busy machine all would end at the longest.

        Raises:
            ArithmeticError: a step took no time.
        """
        while True:
            if cold:
                self._flush.zero_()
            events = [self._cuda.Event(enable_timing=True) for _ in range(len(steps) + 1)]
            if lead.helps:
                self._spin(lead.seconds)
            launching = -self._now()
            events[0].record()
            for step, event in zip(steps, events[1:], strict=True):
                step()
                event.record()
            ahead = not events[0].query()
            launching += self._now()
            self._cuda.synchronize()
            if ahead or not lead.helps:
                lead.seconds = min(lead.seconds, max(FIRST_SPIN_S, SPARE * launching))
                break
            lead.seconds *= 2
            lead.helps = lead.seconds <= LONGEST_SPIN_S
        seconds = [start.elapsed_time(end) / 1e3 for start, end in pairwise(events)]
        if min(seconds) <= 0:
            raise ArithmeticError("the device's clock did not move during a sample, so nothing was timed")
        return seconds

    def _spin(self, seconds: float) -> None:
        self._cuda._sleep(max(1, round(seconds * self._hertz)))

    def _way(self, arm: Arm) -> _Way:
        if id(arm) not in self._ways:
            gradients = arm.backward(arm.forward())  # compiled and tuned before anything is captured
            if arm.update:
                arm.update(gradients)
            way = _Way(arm.forward, arm.backward, "events", 1, (arm,), arm.update)
            seconds = self._passes(way)[:2]
            self._ways[id(arm)] = self._graphed(way, arm, sum(seconds)) if min(seconds) < GRAPH_BELOW_S else way
        return self._ways[id(arm)]

    def _graphed(self, way: _Way, arm: Arm, seconds: float) -> _Way:
        """The arm as two graphs, or the way it was with the reason in words."""
        stream = self._cuda.current_stream()
        try:
            forward, backward, output, gradients = self._captured(arm)
        except BaseException as problem:  # whatever an arm does that a graph cannot hold
            # torch.cuda.graph leaves its own stream current when the end of a capture raises (torch 2.13).
            self._cuda.set_stream(stream)
            self._cuda.synchronize()
            return replace(way, how=f"events; no CUDA graph could be captured: {first_line(problem)}")

        def replayed(_: object) -> tuple[torch.Tensor, ...]:
            backward.replay()
            return gradients

        return _Way(
            forward=forward.replay,
            backward=replayed,
            how="CUDA graphs",
            replays=max(1, min(MOST_REPLAYS, round(WARM_S / seconds))),
            alive=(arm, output, gradients),
            update=arm.update,
        )

    def _captured(self, arm: Arm) -> tuple[Any, Any, torch.Tensor, tuple[torch.Tensor, ...]]:
        """Graphs of forward and backward over one pool of memory, to be replayed in this order, and what they write.

        As torch.cuda.make_graphed_callables does it: three calls on a side stream first, so that nothing
        is set up while capturing; backward captured from the output of the captured forward. Autograd
        launches on the stream that forward ran on, so its threads are captured too.
        """
        cuda = self._cuda
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):
            for _ in range(3):
                arm.once()
        cuda.current_stream().wait_stream(side)
        forward, backward = cuda.CUDAGraph(), cuda.CUDAGraph()
        with cuda.graph(forward):
            output = arm.forward()
        with cuda.graph(backward, pool=forward.pool()):
            gradients = arm.backward(output)
        # Detached: the autograd graph of a capture would tie the inputs, which other arms share, to its
        # stream, and their backward passes would wait for it.
        output = output.detach()
        forward.replay()
        backward.replay()
        cuda.synchronize()
        if not torch.allclose(output, arm.forward().detach(), equal_nan=True):
            raise RuntimeError("its output is another than without a graph")
        return forward, backward, output, gradients
