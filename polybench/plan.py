"""From a suite to jobs: which trials are measured, together with which, and in what order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from polybench.cell import Cell, Job, Trial
from polybench.errors import NothingMeasured
from polybench.kind import Kind, axes_of, kind_of
from polybench.matrix import combinations
from polybench.suite import Benchmark, Suite


@dataclass(frozen=True)
class Plan:
    """Jobs in the order they run: what must be alone first, and within that one repeat after the other."""

    jobs: tuple[Job, ...]

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(t for job in self.jobs for t in job.trials)

    @property
    def cells(self) -> int:
        return len({(t.benchmark, t.cell.id) for t in self.trials})

    def seconds(self, slots: int) -> float:
        """A guess at the time on this many cores; timing jobs do not share them."""
        alone = sum(j.seconds for j in self.jobs if j.alone)
        return alone + sum(j.seconds for j in self.jobs if not j.alone) / max(1, slots)

    def only(self, wanted: Callable[[Job], bool]) -> Plan:
        return Plan(tuple(j for j in self.jobs if wanted(j)))


def plan(suite: Suite, device: str, pattern: str | None = None) -> Plan:
    """Every job of the suite on this device; `pattern` (a glob on trial labels) keeps the reference too.

    Raises:
        NothingMeasured: the pattern matches no trial.
    """
    jobs = [job for b in suite.benchmarks for job in _jobs(suite, b, device, pattern)]
    if not jobs:
        raise NothingMeasured(f"--filter {pattern!r} matches no trial; `polybench plan` shows them all")
    return Plan(tuple(sorted(jobs, key=lambda j: not j.alone)))


def _jobs(suite: Suite, benchmark: Benchmark, device: str, pattern: str | None) -> Iterable[Job]:
    kind = kind_of(benchmark.kind)
    protocol = _protocol(kind, benchmark, suite)
    for repeat in _repeats(kind, protocol, suite.seeds_of(benchmark)):
        groups: dict[object, list[Trial]] = defaultdict(list)
        for trial in _trials(suite, benchmark, kind, device, repeat):
            cell = trial.cell
            groups[(cell.dtype, cell.axes) if kind.interleaved else (cell.id, trial.control)].append(trial)
        chosen = _filtered(list(groups.values()), suite.reference, pattern, kind.interleaved)
        for trials in chosen:
            axes = kind.axes(**dict(trials[0].cell.axes))
            yield Job(
                trials=tuple(trials),
                protocol=tuple(sorted(protocol.model_dump().items())),
                timeout_s=benchmark.timeout_s,
                alone=kind.alone or device != "cpu",
                process=_process(kind, protocol, benchmark, trials[0]),
                environment=tuple(sorted(protocol.environment().items())),
                seconds=kind.seconds(axes, protocol) * len(trials),
            )


def _protocol(kind: Kind, benchmark: Benchmark, suite: Suite) -> Any:
    """What the benchmark says; where a kind asks for the margin, the suite's."""
    shared = {"margin": suite.margin} if "margin" in kind.protocol.model_fields else {}
    return kind.protocol(**{**shared, **benchmark.protocol})


def _repeats(kind: Kind, protocol: object, seeds: list[int]) -> Iterable[int]:
    if kind.repeats == "seeds":
        return seeds
    return range(protocol.launches) if kind.repeats == "launches" else (0,)  # type: ignore[attr-defined]


def _process(kind: Kind, protocol: object, benchmark: Benchmark, first: Trial) -> str:
    """Jobs of a launch share a process; but no timing may follow a profiler, so then each has its own."""
    if kind.repeats != "launches":
        return ""
    own = f"/{first.cell.id}" if getattr(protocol, "profile", False) else ""
    return f"{benchmark.name}/{first.seed}{own}"


def _trials(suite: Suite, benchmark: Benchmark, kind: Kind, device: str, repeat: int) -> Iterable[Trial]:
    """Activation after activation within a point of the matrix, the reference's second copy last."""
    for axes in dict.fromkeys(axes_of(kind, values) for values in combinations(benchmark.matrix, kind)):
        for dtype in benchmark.dtypes:
            for backend in benchmark.backends:
                cells = [
                    Cell(kind.name, kind.version, name, backend, device, dtype, axes)
                    for name in suite.activations_of(benchmark)
                ]
                yield from (Trial(benchmark.name, cell, repeat) for cell in cells)
                if kind.interleaved:
                    yield Trial(benchmark.name, cells[0].beside(suite.reference), repeat, control=True)


def _filtered(
    groups: list[list[Trial]], reference: str, pattern: str | None, interleaved: bool
) -> Sequence[list[Trial]]:
    """Trials that match, with the reference they are divided by."""
    if not pattern:
        return groups
    matched = [t for trials in groups for t in trials if _matches(t, pattern)]
    wanted = {t.id for t in matched} | {
        Trial(t.benchmark, t.cell.beside(reference), t.seed, control).id
        for t in matched
        for control in (False, interleaved)
    }
    kept = [[t for t in trials if t.id in wanted] for trials in groups]
    return [trials for trials in kept if trials]


def _matches(trial: Trial, pattern: str) -> bool:
    """A glob on the whole label, or a plain word anywhere in it."""
    text = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"
    return fnmatchcase(trial.label, text)
