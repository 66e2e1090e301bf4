"""Blocks by a made-up clock: everything in turns, what fails leaves, and a launch ends when it is decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from polybench.errors import Wrong
from polybench.measure.instruments.blocks import Blocks, without_gc
from polybench.measure.instruments.timer import CpuTimer, Sample, wake_compiler
from polybench.measure.instruments.workshop import Arm, Yardstick
from polybench.measure.model.build import Executed


class Script:
    """A timer that takes its samples from a function of the arm and of how often it was called."""

    most_rounds = 1000

    def __init__(self, seconds: Callable[[str, int], float], cost: float = 0.0):
        self.cost, self.log, self._seconds = cost, [], seconds  # type: ignore[var-annotated]
        self.counts: Counter[str] = Counter()

    def sample(self, arm: Arm) -> Sample:
        total = self._tick(arm.module)  # type: ignore[arg-type]
        return Sample(total / 4, 3 * total / 4, total)

    def work(self, call: Callable[[], object]) -> float:
        return self._tick(str(call()))

    def _tick(self, name: str) -> float:
        self.log.append(name)
        self.counts[name] += 1
        return self._seconds(name, self.counts[name])


def arm(name: str) -> Arm:
    x = torch.ones(1, requires_grad=True)
    stand_in: Any = name
    return Arm(lambda: x * 2, (x,), torch.ones(1), stand_in, Executed(stand_in, torch.relu, 1))


def blocks(seconds: Callable[[str, int], float], *names: str, sample_s: float = 1.0, cost: float = 0.0) -> Blocks:
    made = Blocks(Script(seconds, cost), 0, sample_s)  # type: ignore[arg-type]
    made.make({i: lambda n=n: arm(n) for i, n in enumerate(names)}, {"copy": Yardstick(lambda: "copy", 1)})  # type: ignore[misc]
    return made


def test_a_refresh_calls_every_arm_once_and_keeps_nothing() -> None:
    made = blocks(lambda name, n: 0.1, "a", "b")
    called: list[str] = []

    def broken() -> torch.Tensor:
        raise ValueError("broken")

    for i, one in list(made.arms.items()):
        call = broken if i else lambda one=one: (called.append(str(one.module)), one.forward())[1]
        made.arms[i] = replace(one, forward=call)
    made.timer.log.clear()  # type: ignore[attr-defined]
    made.refresh()
    assert called == ["a"] and not made.timer.log  # type: ignore[attr-defined]
    assert list(made.failed) == [1] and made.samples == {0: []}


def test_a_round_calls_everything_once_in_ever_new_order() -> None:
    made = blocks(lambda name, n: 0.1, "a", "b", "c")
    assert made.rounds == 10  # a second a sample, by calls of a tenth
    made.timer.log.clear()  # type: ignore[attr-defined]
    made.measure()
    turns = [tuple(made.timer.log[i : i + 4]) for i in range(0, 40, 4)]  # type: ignore[attr-defined]
    assert all(set(turn) == {"a", "b", "c", "copy"} for turn in turns)
    assert len(set(turns)) > 3
    assert [len(v) for v in (*made.samples.values(), made.yards["copy"])] == [1, 1, 1, 1]


def test_the_same_seed_gives_the_same_order() -> None:
    logs = []
    for _ in range(2):
        made = blocks(lambda name, n: 0.5, "a", "b", "c")
        made.measure()
        logs.append(made.timer.log)  # type: ignore[attr-defined]
    assert logs[0] == logs[1]


def test_rounds_follow_the_mean_of_the_arms_and_the_clocks_cost() -> None:
    assert blocks(lambda name, n: 0.1 if name == "a" else 0.3, "a", "b").rounds == 5
    assert blocks(lambda name, n: 5.0, "a").rounds == 1
    assert blocks(lambda name, n: 0.1, "a", sample_s=0.01, cost=0.001).rounds == 10  # 1000 times the cost
    assert blocks(lambda name, n: 1e-9, "a").rounds == 1000


def test_a_sample_is_the_mean_over_the_rounds() -> None:
    made = blocks(lambda name, n: 0.4 + 0.2 * (n % 2), "a")
    made.measure()
    assert made.rounds == 2  # the first call took 0.6 s
    assert made.samples[0][0].total == pytest.approx(0.5)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_no_time_is_no_measurement(value: float) -> None:
    made = blocks(lambda name, n: value if name == "b" else 1.0, "a", "b")
    assert list(made.failed) == [1]
    assert "clock did not move" in str(made.failed[1])
    made.measure()
    assert len(made.samples[0]) == 1


def test_an_arm_that_fails_leaves_and_the_others_go_on() -> None:
    def seconds(name: str, n: int) -> float:
        if name == "b" and n > 3:
            raise RuntimeError("planted")
        return 1.0

    made = blocks(seconds, "a", "b", "c")
    for _ in range(6):
        made.measure()
    assert list(made.arms) == [0, 2]
    assert str(made.failed[1]) == "planted"
    assert [len(v) for v in made.samples.values()] == [6, 6]


def test_an_arm_found_wrong_afterwards_loses_what_it_measured() -> None:
    made = blocks(lambda name, n: 1.0, "a", "b")
    made.measure()

    def sound(number: int, checked: Arm) -> None:
        assert checked is made.arms[number]
        if str(checked.module) == "b":
            raise Wrong("planted")

    made.check(sound)
    assert list(made.arms) == list(made.samples) == [0]
    assert str(made.failed[1]) == "planted"


def test_an_arm_that_cannot_be_made_is_not_measured() -> None:
    made = Blocks(Script(lambda name, n: 1.0), 0, 1.0)  # type: ignore[arg-type]
    made.make({0: lambda: arm("a"), 1: lambda: 1 / 0}, {})  # type: ignore[dict-item,return-value]
    assert isinstance(made.failed[1], ZeroDivisionError)
    assert list(made.arms) == list(made.samples) == [0]


def test_blocks_at_a_throttled_clock_are_dropped_for_all_arms() -> None:
    made = blocks(lambda name, n: 1.0, "a", "b")
    for slow in (False, True, False):
        made.measure()
        if slow:
            made.samples[1][-1] = Sample(1, 1, 2, throttled=True)
    assert made.drop_throttled() == 1
    assert [len(v) for v in (*made.samples.values(), *made.yards.values())] == [2, 2, 2]


def test_a_clock_that_goes_back_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = CpuTimer(1)
    ticks = iter([3.0, 2.0, 4.0, 9.0, 8.0])
    monkeypatch.setattr(timer, "_now", lambda: next(ticks))
    with pytest.raises(ArithmeticError, match="went back"):
        timer.sample(arm("a"))
    with pytest.raises(ArithmeticError, match="went back"):
        timer.work(lambda: None)


def test_the_garbage_collector_rests_and_comes_back() -> None:
    import gc

    with pytest.raises(KeyError), without_gc():
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()


def test_the_compiler_is_woken_on_the_device_that_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda call: lambda x: woken.append(x.device.type))
    wake_compiler("meta")
    assert woken == ["meta"]
