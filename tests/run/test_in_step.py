"""Launches of one place: until all is decided, time is up, or nobody is left; fakes measure, no process is started."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest
from builders import cell

from polybench.errors import ResultsError
from polybench.message import Ending, Message
from polybench.record import Measurement, Record, Status
from polybench.run.in_step import launches
from polybench.trial import Cell, Job, Trial

RELU, GELU = cell("speed", "relu"), cell("speed", "gelu")
LOOKS = [2, 4, 6]


class Side:
    """An executor that measures at once, but for the activation that it cannot."""

    def __init__(self, fails: str = "") -> None:
        self.jobs: list[Job] = []
        self.fails = fails

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        self.jobs.append(job)
        for index, trial in enumerate(job.trials):
            bad = trial.cell.activation == self.fails
            on_message(Message(index, Ending(Status.FAILED, "no") if bad else Measurement("total_time", (1.0,))))
        return Ending()

    def stop(self) -> None:
        pass


def measured(
    undecided: Callable[[Iterable[Cell]], set[Cell]] = lambda cells: set(cells),
    head: Side | None = None,
    first: int = 0,
    deadline: float = 1e9,
    clock: Callable[[], float] = lambda: 0.0,
    fork: bool = True,
) -> tuple[int, dict[str, Side], dict[str, list[Record]]]:
    job = Job((Trial("speed", RELU, 0), Trial("speed", GELU, 0)), (), process="speed/place", fork=fork, alone=True)
    sides = {"base": Side(), "head": head or Side(), "control": Side()}
    kept: dict[str, list[Record]] = {name: [] for name in sides}

    def keep(side: str, records: Sequence[Record]) -> None:
        kept[side] += records

    made = launches(dict.fromkeys(sides, job), sides, LOOKS, undecided, keep, first=first, deadline=deadline, now=clock)
    return made, sides, kept


def test_launches_of_all_sides_have_one_start_and_their_number_as_seed() -> None:
    made, sides, kept = measured(first=1000)
    assert made == 6
    for records in kept.values():
        assert [r.trial.seed for r in records] == [1000 + k for k in range(6) for _ in "ab"]
    starts = [[r.started_at for r in records] for records in kept.values()]
    assert starts[0] == starts[1] == starts[2]
    assert all(job.turns for side in sides.values() for job in side.jobs)


def test_what_is_decided_leaves_and_nobody_left_is_the_end() -> None:
    looks = iter([{GELU}, set[Cell]()])
    made, sides, _ = measured(lambda cells: next(looks))
    assert made == 4
    assert [len(job.trials) for job in sides["head"].jobs] == [2, 2, 1, 1]


def test_nobody_waits_for_what_fails_on_a_side() -> None:
    made, sides, _ = measured(head=Side("relu"))
    assert made == 6
    assert [len(job.trials) for job in sides["base"].jobs] == [2, 1, 1, 1, 1, 1]


def test_two_launches_are_made_however_little_time_there_is() -> None:
    times = iter(range(100))
    made, _, _ = measured(deadline=-1.0, clock=lambda: float(next(times)))
    assert made == 2


def test_a_launch_that_would_end_too_late_is_not_begun() -> None:
    times = iter(range(100))  # each launch takes one second, and the clock is read twice a launch
    made, _, _ = measured(deadline=7.5, clock=lambda: float(next(times)))
    assert made == 4


def test_only_copies_share_a_process() -> None:
    for fork, names in ((True, {"speed/place"}), (False, {f"speed/place/{k}" for k in range(6)})):
        _, sides, _ = measured(fork=fork)
        assert {job.process for job in sides["base"].jobs} == names


def test_a_full_disk_ends_it() -> None:
    job = Job((Trial("speed", RELU, 0),), (), process="speed/place", fork=True, alone=True)

    def keep(side: str, records: Sequence[Record]) -> None:
        raise ResultsError("no space left")

    sides = {"base": Side(), "head": Side()}
    with pytest.raises(ResultsError, match="no space left"):
        launches(dict.fromkeys(sides, job), sides, LOOKS, set, keep)
    assert [len(side.jobs) for side in sides.values()] == [1, 1]


def test_what_breaks_in_the_executor_of_one_side_stops_the_others() -> None:
    class Broken(Side):
        def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
            raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        measured(head=Broken())
