"""Blocks: every arm once a round, in shuffled order; an arm that fails leaves and the others go on."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from polybench.errors import Unsupported, as_error
from polybench.machine.environment import cores
from polybench.measure.instruments.timer import CpuTimer, Sample, Timer
from polybench.measure.instruments.workshop import Arm, Yardstick

Place = TypeVar("Place")


class Blocks:
    """Arms by number, their samples block by block, and those of the yardsticks beside them.

    A block is made of rounds. A round calls every arm and yardstick once, in an order shuffled anew, so
    that whatever slows the machine for a millisecond slows them all; a sample is the mean over the rounds.

    Where a buffer lies and who touched it first biases a timing too, so the orders of making and of first
    use are also shuffled, all by a generator of one seed.
    """

    def __init__(self, timer: Timer, seed: int, sample_s: float):
        self.timer, self.sample_s = timer, sample_s
        self.rounds = 1
        self.arms: dict[int, Arm] = {}
        self.failed: dict[int, Exception] = {}
        self.first_s: dict[int, float] = {}  # wall time of the first call
        self.samples: dict[int, list[Sample]] = {}
        self.yards: dict[str, list[float]] = {}
        self._yardsticks: dict[str, Yardstick] = {}
        self._shuffled = random.Random(seed)

    def make(self, makers: Mapping[int, Callable[[], Arm]], yardsticks: Mapping[str, Yardstick]) -> None:
        """Build every arm, use each for the first time, and find how many rounds make a block."""
        for i in self._order(makers):
            with self._failing(i):
                self.arms[i] = makers[i]()
        for i in self._order(self.arms):
            with self._failing(i):
                started = time.perf_counter()
                self.arms[i].once()
                self.first_s[i] = time.perf_counter() - started
                self.samples[i] = []
        self._yardsticks = dict(yardsticks)
        self.yards = {name: [] for name in yardsticks}
        if self.arms:
            self.measure()
            seconds = [samples[0].total for samples in self.samples.values()]
            wanted = max(self.sample_s, 1000 * self.timer.cost) * len(seconds) / max(sum(seconds), 1e-9)
            self.rounds = max(1, min(self.timer.most_rounds, round(wanted)))
            self.forget()

    def check(self, sound: Callable[[int, Arm], None]) -> None:
        """Take out every arm that `sound` raises for, given its number and itself, with whatever it had measured."""
        for i in list(self.arms):
            with self._failing(i):
                sound(i, self.arms[i])

    def measure(self) -> None:
        """One block."""
        found: dict[int, list[Sample]] = {i: [] for i in self.arms}
        yards: dict[str, list[float]] = {name: [] for name in self._yardsticks}
        for _ in range(self.rounds):
            places: list[int | str] = [*self.arms, *self._yardsticks]
            for place in self._order(places):
                if isinstance(place, str):
                    yards[place].append(self.timer.work(self._yardsticks[place].call))
                    continue
                with self._failing(place):
                    found[place].append(self.timer.sample(self.arms[place]))
        for i in list(self.arms):
            with self._failing(i):
                self.samples[i].append(_mean(found[i]))
        for name, values in yards.items():
            if statistics.fmean(values) <= 0:
                raise ArithmeticError(f"the clock did not move during {name}; raise the size of the cell")
            self.yards[name].append(statistics.fmean(values))

    def refresh(self) -> None:
        """A call of every arm that is not kept, after others had the caches."""
        for i in self._order(self.arms):
            with self._failing(i):
                self.arms[i].once()

    def forget(self) -> None:
        """Drop what was measured: it was the warm-up."""
        self.samples = {i: [] for i in self.samples}
        self.yards = {name: [] for name in self.yards}

    def drop_throttled(self) -> int:
        """Drop the blocks in which a sample was taken at a throttled clock; returns how many."""
        count = len(next(iter(self.samples.values()), []))
        kept = [b for b in range(count) if not any(samples[b].throttled for samples in self.samples.values())]
        self.samples = {i: [samples[b] for b in kept] for i, samples in self.samples.items()}
        self.yards = {name: [values[b] for b in kept] for name, values in self.yards.items()}
        return count - len(kept)

    def _order(self, items: Iterable[Place]) -> list[Place]:
        places = list(items)
        self._shuffled.shuffle(places)
        return places

    @contextmanager
    def _failing(self, i: int) -> Iterator[None]:
        """An arm that raises is out, with whatever it had measured."""
        try:
            yield
        except BaseException as problem:  # one that would end the process too: the other arms go on
            self.failed[i] = as_error(problem)
            self.arms.pop(i, None)
            self.samples.pop(i, None)
            self.first_s.pop(i, None)


def _mean(samples: Sequence[Sample]) -> Sample:
    """Raises ArithmeticError when the clock did not move: no time is no measurement."""
    forward = statistics.fmean(s.forward for s in samples)
    backward = statistics.fmean(s.backward for s in samples)
    if forward <= 0 or backward <= 0:
        raise ArithmeticError("the clock did not move in a sample; raise sample_s or the size of the cell")
    warm = [s.warm for s in samples if s.warm is not None]
    updates = [s.update for s in samples if s.update is not None]
    return Sample(
        forward,
        backward,
        statistics.fmean(s.wall for s in samples),
        statistics.fmean(s.faults for s in samples),
        statistics.fmean(warm) if warm else None,
        any(s.throttled for s in samples),
        statistics.fmean(updates) if updates else None,
    )


@contextmanager
def without_gc() -> Iterator[None]:
    """Without the garbage collector, whose pauses hit one arm or another."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def make_timer(device: str, threads: int) -> Timer:
    """The clock of a device. Raises Unsupported where threads would have to take turns."""
    if threads > cores():
        raise Unsupported(f"{threads} threads on {cores()} processors would take turns, which is not what they cost")
    if device == "cpu":
        return CpuTimer(threads)
    from polybench.measure.instruments.gpu_timer import GpuTimer

    return GpuTimer()
