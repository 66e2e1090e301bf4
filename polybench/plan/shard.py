"""The i-th of n disjoint parts of a plan, for n machines; the same on each of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from polybench.errors import NothingMeasured, UsageError, cut
from polybench.kind import kind_of
from polybench.trial import Job


@dataclass(frozen=True)
class Shard:
    """One part of several; `index` counts from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/3` is the second of three. Raises UsageError on anything else."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        index, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= index <= count:
            raise UsageError(f"--shard {cut(text)}: say which part of how many, such as 2/3")
        return cls(index, count)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def of(self, jobs: Sequence[Job]) -> tuple[Job, ...]:
        """Its jobs. Raises NothingMeasured when there are fewer parts than that."""
        divided = parts(jobs, self.count)
        chosen = divided[self.index - 1]
        if not chosen:
            raise NothingMeasured(f"shard {self} is empty: these {len(jobs)} jobs fill {sum(map(bool, divided))}")
        return chosen

    def of_added_seeds(self, jobs: Iterable[Job]) -> tuple[Job, ...]:
        """Its jobs of seeds that came after the parts were made: parts take them in turns, a place and seed at a time.

        Whose turn it is hangs on the seed, and on where its place stands among those of its benchmark, alone. So parts
        agree although they were given the seeds one by one or together.
        """
        places: dict[str, list[object]] = defaultdict(list)
        chosen = []
        for job in jobs:
            trial, place = job.trials[0], _place(job)
            known = places[trial.benchmark]
            if place not in known:
                known.append(place)
            if (trial.seed + known.index(place)) % self.count == self.index - 1:
                chosen.append(job)
        return tuple(chosen)


def parts(jobs: Sequence[Job], count: int) -> list[tuple[Job, ...]]:
    """The jobs of each of so many parts, in the order they had; where jobs are few, the last parts have none.

    A job is never divided, nor are the jobs whose times are compared: all launches of one place of a timing
    kind. The activations of one seed, whose speeds are compared too, stay together as far as they fill no more
    than a fair part. The longest go first, each to the part that has least (Graham 1969, LPT: the longest part
    takes at most 4/3 of the best).
    """
    groups: dict[object, list[Job]] = defaultdict(list)
    for job in jobs:
        groups[_place(job) if times(job) else (*_place(job), job.trials[0].seed)].append(job)
    fair = seconds(jobs) / count
    units: list[list[Job]] = []
    for group in groups.values():
        whole = times(group[0]) or seconds(group) <= fair
        units += [group] if whole else [[job] for job in group]
    loads: list[list[Job]] = [[] for _ in range(count)]
    for unit in sorted(units, key=seconds, reverse=True):
        min(loads, key=seconds).extend(unit)
    place = {id(job): i for i, load in enumerate(loads) for job in load}
    return [tuple(job for job in jobs if place[id(job)] == i) for i in range(count)]


def times(job: Job) -> bool:
    """Whether its kind measures times, which other work beside it would spoil."""
    return kind_of(job.trials[0].cell.kind).alone


def _place(job: Job) -> tuple[object, ...]:
    trial = job.trials[0]
    return trial.benchmark, trial.cell.dtype, trial.cell.axes


def seconds(jobs: Sequence[Job]) -> float:
    """A guess at their time one after the other, with the launches that they may ask for."""
    return sum(j.seconds + j.ahead_s for j in jobs)
