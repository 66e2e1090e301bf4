"""Turns: one process at a time, everybody once a round in a shuffled order, and nobody waits for the dead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st

from polybench.kind import Item, Progress
from polybench.measure.turns import in_turn
from polybench.run.conductor import Conductor, Turns

SIDES = ("base", "control", "head")


class Bench:
    """Fake sides that measure blocks in turns, and what was seen of them."""

    def __init__(self) -> None:
        self.measured: list[str] = []
        self.busy: set[str] = set()
        self.overlaps = 0
        self._lock = threading.Lock()

    def blocks(self, side: str, count: int, dies: int | None = None) -> Iterator[tuple[int, Item]]:
        for block in range(count):
            with self._lock:
                self.overlaps += bool(self.busy)
                self.busy.add(side)
                self.measured.append(side)
            if block == dies:
                self.busy.discard(side)
                raise ArithmeticError("this side is broken")
            self.busy.discard(side)
            yield 0, Progress(block / count)

    def run(self, counts: dict[str, int], dies: dict[str, int] | None = None) -> None:
        with closing(Conductor(counts, "seed")) as conductor:

            def measure(side: str) -> None:
                items = self.blocks(side, counts[side], (dies or {}).get(side))
                try:
                    for _ in in_turn(items, conductor.doors[side]):
                        pass
                except ArithmeticError:
                    pass
                finally:
                    conductor.ended(side)

            threads = [threading.Thread(target=measure, args=(side,)) for side in counts]
            for thread in threads:
                thread.start()
            conductor.conduct()
            for thread in threads:
                thread.join(timeout=60)
            assert not any(thread.is_alive() for thread in threads)


def test_only_one_measures_at_a_time_and_everybody_once_a_round() -> None:
    bench = Bench()
    bench.run(dict.fromkeys(SIDES, 20))
    assert bench.overlaps == 0
    rounds = [tuple(bench.measured[i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(one) == sorted(SIDES) for one in rounds)
    assert len(set(rounds)) > 3, "the order is not shuffled"


@pytest.mark.parametrize("at", [0, 7])
def test_nobody_waits_for_a_side_that_dies(at: int) -> None:
    bench = Bench()
    bench.run(dict.fromkeys(SIDES, 20), {"head": at})
    assert bench.overlaps == 0
    assert [bench.measured.count(side) for side in SIDES] == [20, 20, at + 1]


def test_nobody_waits_for_a_side_that_never_asks() -> None:
    with closing(Conductor(SIDES, "seed")) as conductor:
        for side in SIDES:
            conductor.ended(side)
        conductor.conduct()
        conductor.ended("head")


def test_who_still_waits_when_turns_end_is_told() -> None:
    conductor = Conductor(SIDES, "seed")
    told: list[type[BaseException]] = []

    def wait() -> None:
        try:
            next(in_turn(iter(()), conductor.doors["base"]))
        except (ConnectionError, OSError) as problem:
            told.append(type(problem))

    thread = threading.Thread(target=wait)
    thread.start()
    conductor.ended("head")
    conductor.ended("control")
    while not conductor._lines:
        conductor._hear(*next((k.fileobj, k.data) for k, _ in conductor._selector.select()))  # type: ignore[arg-type]
    conductor.close()
    thread.join(timeout=60)
    assert told and not thread.is_alive()


def test_without_a_conductor_nothing_waits() -> None:
    items: list[tuple[int, Item]] = [(0, Progress(0.5)), (1, Progress(1.0))]
    assert list(in_turn(iter(items), "")) == items


@LAWS
@given(st.lists(st.tuples(st.sampled_from(SIDES), st.sampled_from(["ask", "leave"])), max_size=40))
def test_a_turn_is_given_only_while_all_that_are_left_wait(events: list[tuple[str, str]]) -> None:
    turns, holder, asked = Turns(SIDES, "seed"), None, set[str]()
    for side, event in events:
        if event == "ask" and side in turns.left:
            turns.ask(side)
            asked.add(side)
        elif event == "leave":
            turns.leave(side)
            asked.discard(side)
        holder = None if holder == side else holder
        given_to = turns.next()
        if given_to:
            assert holder is None
            assert asked == turns.left
            holder = given_to
            asked.discard(given_to)
