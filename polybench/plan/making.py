"""How trials of one benchmark become a job: with which process, for how long, and what it is told."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from polybench.errors import RegistryError, reason
from polybench.interrupt import contained
from polybench.kind import Axes, Kind, Protocol
from polybench.launches import Rules
from polybench.plan.suite import Benchmark
from polybench.spec import Scalar
from polybench.trial import Job, Trial

# A guess is for a core; a data-centre GPU does ten thousand times as much, after some compiling.
_GPU_OVER_CORE, _GPU_START_S, _GPU_START_OF_TRAINING_S = 10000.0, 2.0, 15.0


class Maker:
    """Makes the jobs of one benchmark; what all of them share is worked out once, since there may be 100,000."""

    def __init__(self, kind: Kind, protocol: Protocol, benchmark: Benchmark):
        self.kind, self.protocol, self._benchmark = kind, protocol, benchmark
        self._guesses: dict[tuple[tuple[str, Scalar], ...], float] = {}

    def job(self, trials: Sequence[Trial]) -> Job:
        first = trials[0]
        return Job(
            trials=tuple(trials),
            protocol=self._told,
            timeout_s=self._benchmark.timeout_s,
            alone=self.kind.alone or first.cell.device != "cpu",
            process=self._process(first),
            fork=self._forks(first),
            environment=self._environment,
            seconds=self._seconds(first) * len(trials),
        )

    @cached_property
    def _told(self) -> tuple[tuple[str, Scalar], ...]:
        return tuple(sorted(self.protocol.model_dump().items()))

    @cached_property
    def _environment(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.protocol.environment().items()))

    def _seconds(self, trial: Trial) -> float:
        """A guess for one trial."""
        axes = trial.cell.axes
        if axes not in self._guesses:
            self._guesses[axes] = self._guess(self.kind.axes(**dict(axes)))
        guess = self._guesses[axes]
        if trial.cell.device == "cpu":
            return guess
        return (_GPU_START_OF_TRAINING_S if self.kind.objective else _GPU_START_S) + guess / _GPU_OVER_CORE

    def _guess(self, axes: Axes) -> float:
        """What the kind says. Raises RegistryError where it raises itself, or says what is no time."""
        try:
            with contained():
                guess = float(self.kind.seconds(axes, self.protocol))
            if not 0 <= guess < math.inf:
                raise ValueError(f"it says {guess}")
        except Exception as problem:
            raise RegistryError(
                f"kind {self.kind.name!r} is broken: its `seconds` cannot say how long a trial takes: {reason(problem)}"
            ) from problem
        return guess

    def _process(self, first: Trial) -> str:
        """What jobs share that share a process: a place whose copies they are, else the launch."""
        if self.kind.repeats != "launches":
            return ""
        if self._forks(first):
            shared = replace(first.cell.place, backend="") if self.kind.interleaved else first.cell
            return f"{self._benchmark.name}/{shared.id}"
        own = f"/{first.cell.id}" if self.protocol.own_process else ""
        return f"{self._benchmark.name}/{first.seed}{own}"

    def _forks(self, first: Trial) -> bool:
        """Whether this launch is a copy of a process that is ready: of none with threads or a device, nor profiled."""
        single = first.cell.device == "cpu" and first.cell.get("threads", 1) == 1
        return single and self.kind.prepare is not None and not (self.protocol.own_process and first.seed == 0)


def ahead(job: Job, launch: int, end: int, rules: Rules) -> Job:
    """The last launch that is known answers for all that may follow: as long as the budget lasts."""
    if launch + 1 < end:
        return job
    return replace(job, ahead_s=max(0.0, min(rules.budget_s, rules.most * job.seconds) - end * job.seconds))
