"""speed: seconds of forward and backward, of the activation alone and of its feed-forward block."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from polybench.axes import LevelAxes
from polybench.cell import Trial
from polybench.kind import Item, Progress, Protocol
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import benchmarks

if TYPE_CHECKING:
    from polybench.workshop import Arm


class SpeedAxes(LevelAxes):
    """What is executed, and on how many threads."""

    threads: PositiveInt = Field(1, description="CPU threads; with one, CPU time decides")


class SpeedProtocol(Protocol):
    """How often, and with which heap."""

    launches: PositiveInt = Field(3, description="fresh processes")
    blocks: PositiveInt = Field(20, description="rounds of every activation in a process")
    warm_up: PositiveInt = Field(2, description="rounds that are not kept")
    sample_s: PositiveFloat = Field(0.003, description="least seconds a sample, by repeating the call")
    heap: Literal["warm", "default"] = Field("warm", description="warm keeps freed memory, so pages fault once")

    def environment(self) -> dict[str, str]:
        """glibc's malloc gives large blocks back to the system at once unless told otherwise."""
        if self.heap == "default":
            return {}
        return {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(64 << 20)}


FORWARD = Metric("forward_time", "s", "lower", "sample", "Forward pass, with what backward needs being recorded.")
BACKWARD = Metric("backward_time", "s", "lower", "sample", "Backward pass to inputs and parameters.")
TOTAL = Metric("total_time", "s", "lower", "sample", "Forward and backward pass.")
WALL = Metric("wall_time", "s", "neither", "sample", "Forward and backward pass by the wall clock, as a check.")
FIRST = Metric("first_call_time", "s", "neither", "sample", "Wall time of the first forward and backward: compilation.")
YARDSTICK = Metric(
    "yardstick_time", "s", "neither", "sample",
    "A fixed piece of work timed in the same blocks: a copy of the hidden tensor, or the block's first product.",
)  # fmt: skip


def _seconds(axes: SpeedAxes, protocol: SpeedProtocol) -> float:
    work = axes.tokens * axes.d_model * (250e-9 if axes.level == "activation" else 250e-9 + axes.d_model * 3e-9)
    return 0.5 + max(work, protocol.sample_s) * (protocol.blocks + protocol.warm_up + 2)


@benchmarks.register(
    "speed",
    axes=SpeedAxes,
    protocol=SpeedProtocol,
    metrics=(FORWARD, BACKWARD, TOTAL, WALL, FIRST, YARDSTICK),
    version=1,
    repeats="launches",
    seconds=_seconds,
    interleaved=True,
    alone=True,
)
def speed(trials: Sequence[Trial], axes: SpeedAxes, protocol: SpeedProtocol) -> Iterator[tuple[int, Item]]:
    """Forward and backward time of the activation or its block, interleaved in shuffled blocks."""
    import time

    import torch

    from polybench.gpu_timing import GpuTimer
    from polybench.timing import CpuTimer, calls_for, wake
    from polybench.workshop import Workshop

    device, shuffled = trials[0].cell.device, random.Random(trials[0].seed)
    torch.set_num_threads(axes.threads)
    torch.manual_seed(trials[0].seed)
    timer = CpuTimer(axes.threads) if device == "cpu" else GpuTimer()
    wake()
    order = list(range(len(trials)))

    # Where a buffer lies and who touched it first biases a timing, so both are shuffled too.
    arms: dict[int, Arm] = {}
    calls: dict[int, int] = {}
    first: dict[int, float] = {}
    workshop = Workshop(axes, trials[0].cell.dtype, device)
    for step in ("build", "touch"):
        shuffled.shuffle(order)
        for i in order:
            if step == "touch" and i not in arms:
                continue
            try:
                if step == "build":
                    arms[i] = workshop.arm(trials[i].cell.activation, trials[i].cell.backend)
                    continue
                started = time.perf_counter()
                arms[i].once()
                first[i] = time.perf_counter() - started
                calls[i] = calls_for(timer, arms[i], protocol.sample_s)
            except Exception as problem:
                arms.pop(i, None)
                yield i, problem
    if not arms:
        return
    yardstick, yardstick_calls = workshop.yardstick(), max(calls.values())
    rows: dict[int, list[tuple[float, float, float]]] = {i: [] for i in arms}
    yards: list[float] = []
    total = protocol.warm_up + protocol.blocks
    for block in range(total):
        places: list[int] = [*arms, -1]
        shuffled.shuffle(places)
        for i in places:
            if i < 0:
                yards.append(timer.work(yardstick, yardstick_calls))
            else:
                sample = timer.sample(arms[i], calls[i])
                rows[i].append((sample.forward, sample.backward, sample.wall))
        yield 0, Progress((block + 1) / total)
    for i, samples in rows.items():
        kept = samples[protocol.warm_up :]
        yield i, Measurement(FORWARD.name, tuple(f for f, _, _ in kept))
        yield i, Measurement(BACKWARD.name, tuple(b for _, b, _ in kept))
        yield i, Measurement(TOTAL.name, tuple(f + b for f, b, _ in kept))
        yield i, Measurement(WALL.name, tuple(w for _, _, w in kept))
        yield i, Measurement(YARDSTICK.name, tuple(yards[protocol.warm_up :]))
        yield i, Measurement(FIRST.name, (first[i],))
