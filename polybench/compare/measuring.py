"""One comparison carried out: what both sides gate is measured, times in turns until each is decided."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from polybench.compare.alignment import Alignment, Asked
from polybench.compare.chosen import chosen
from polybench.compare.side_by_side import failing, undecided
from polybench.errors import NothingMeasured, UsageError
from polybench.launches import PILOT, Rules
from polybench.machine.environment import cores, differences
from polybench.plan.labels import Labels
from polybench.run import in_step, store
from polybench.run.comparison_folder import AGAIN, Folder, Stored
from polybench.run.runner import Event, Finished
from polybench.run.side import BASE, HEAD, Side
from polybench.run.side_plan import Request, SidePlan, ask
from polybench.trial import Cell, Job

AGAIN_LAUNCHES = 2  # times as many launches as at first, before what failed is looked at again
AGAIN_BUDGET = 0.5  # of the budget, on top of it, for the second look

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Budget:
    """Seconds for all that is timed, shared out evenly among the places that are still to come."""

    deadline: float

    @classmethod
    def of(cls, seconds: float) -> Budget:
        return cls(time.monotonic() + seconds)

    def share(self, places: int) -> float:
        """When the next of so many places has to end."""
        now = time.monotonic()
        return now + max(0.0, self.deadline - now) / places


def compared(
    request: Request,
    sides: Mapping[str, Side],
    budget_s: float,
    out: Path | None,
    begun: Callable[[Path], None],
    tell: Tell,
) -> Stored:
    """Everything that base and head both gate, measured and stored; `begun` is told the folder before that.

    What failed among the times is measured a second time, in fresh processes and with more launches.

    Raises:
        UsageError: a side cannot be planned, both lack the same, or nothing that is gated can be measured so.
        NotComparable: a side is of a polybench that cannot be held in step.
        NothingMeasured: nothing is gated, or nothing of it matches the pattern.
        KeyboardInterrupt: every process has been stopped; what was measured is kept.
    """
    plans = {name: ask(sides[name], request) for name in (BASE, HEAD)}
    if request.pattern:
        plans = chosen(plans, request.pattern)
    alignment = _aligned(plans, tell)
    name = str(plans[HEAD].suite["suite"])
    folder = Folder(out or _free(name), request.suite, plans, sides, request.pattern)
    begun(folder.path)
    _beside(alignment, sides, folder, tell)
    places = alignment.places
    _timed(places, alignment.asked, sides, folder, tell, Budget.of(budget_s), again=False)
    if failed := failing(folder.so_far(), alignment):
        tell(f"{len(failed)} times failed; they are measured again")
        cells = {(a.benchmark, a.cell) for a in failed}
        fewer = alignment.only(cells)
        _timed(fewer, failed, sides, folder, tell, Budget.of(AGAIN_BUDGET * budget_s), again=True)
    folder.finish()
    return folder.so_far()


def _aligned(plans: Mapping[str, SidePlan], tell: Tell) -> Alignment:
    base, head = plans[BASE], plans[HEAD]
    if both := sorted(base.lacks.keys() & head.lacks.keys()):
        raise UsageError(f"neither side has {both[0]!r}: {head.lacks[both[0]]}")
    aside = [(plan, job.trials[0]) for plan in (head, base) for job in plan.left_out]
    if not base.trials and not head.trials:
        if aside:
            raise UsageError(aside[0][0].why_left_out(aside[0][1]))
        raise NothingMeasured("no rule of the suite gates anything that either side measures")
    for why in dict.fromkeys(plan.why_left_out(trial) for plan, trial in aside):
        tell(f"left out: {why}")
    for name, plan in plans.items():
        for what, why in plan.lacks.items():
            tell(f"{name} lacks {what}: {why}")
    if apart := differences(base.environment, head.environment):
        tell(f"base and head differ in {'; '.join(apart)}")
    return Alignment(base, head)


def _beside(alignment: Alignment, sides: Mapping[str, Side], folder: Folder, tell: Tell) -> None:
    """What is not timed in launches."""
    jobs = {name: [sides[name].job(j) for j in mine] for name, mine in alignment.others.items()}
    count = sum(len(j.trials) for mine in jobs.values() for j in mine)
    labels, done = alignment.labels, 0

    def heard(event: Event) -> None:
        nonlocal done
        if isinstance(event, Finished):
            for record in event.records:
                done += 1
                tail = f": {record.error}" if record.error else ""
                tell(f"[{done}/{count}] {labels.of_trial(record.trial)} {record.status.words}{tail}")

    slots = cores() if alignment.head.device == "cpu" else 1
    in_step.side_by_side(jobs, {name: sides[name] for name in jobs}, slots, folder.keep, heard)


def _timed(
    places: Sequence[Mapping[str, Job]],
    asked: Sequence[Asked],
    sides: Mapping[str, Side],
    folder: Folder,
    tell: Tell,
    budget: Budget,
    again: bool,
) -> None:
    """Launches of each place, one place after the other, in processes that are fresh for it."""
    for i, place in enumerate(places):
        jobs = {name: sides[name].job(job) for name, job in place.items()}
        first = AGAIN if again else 0
        benchmark = place[HEAD].trials[0].benchmark
        mine = [a for a in asked if a.benchmark == benchmark]

        def left(cells: Iterable[Cell], mine: Sequence[Asked] = mine) -> set[Cell]:
            return undecided(folder.so_far(), mine, cells, len(asked), again)

        with in_step.workers(sides) as executors:
            made = in_step.launches(
                jobs, executors, _looks(place[HEAD], again), left, folder.keep,
                first=first, deadline=budget.share(len(places) - i),
            )  # fmt: skip
        open_ = len(left({t.cell for t in place[HEAD].trials}))
        what = Labels.of(t for p in places for t in p[HEAD].trials).of_job(place[HEAD])
        tell(f"[{i + 1}/{len(places)}] {what}: {made} launches, {open_} of {len(place[HEAD].trials)} undecided")


def _looks(job: Job, again: bool) -> list[int]:
    """After how many launches it is asked who is decided; what failed is not asked before there are more than then."""
    most = int(dict(job.protocol)["launches"])
    pilot = min(PILOT, most)
    if again:
        pilot, most = AGAIN_LAUNCHES * pilot, AGAIN_LAUNCHES * most
    return Rules(pilot, most, 0.0).looks()


def _free(suite: str) -> Path:
    """A new folder for it, under results."""
    return store.free(store.ROOT / suite / f"compare-{datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%S')}")
