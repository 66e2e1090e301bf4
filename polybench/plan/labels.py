"""What people call a trial: its benchmark and activation, and of the rest what differs within the benchmark."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property

from polybench.errors import NothingMeasured, in_short
from polybench.spec import Scalar
from polybench.trial import Job, Trial

Way = tuple[tuple[tuple[str, Scalar], ...], str, str]  # axes, backend and dtype of a trial


@dataclass(frozen=True)
class Labels:
    """Names of the trials of one suite, such as `pretrain/relu/lr=tuned/seed=0`.

    `varying` are the fields and axes by benchmark that differ among its trials; a trial of a benchmark that is not
    there is called by its whole label.
    """

    varying: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Labels:
        """Names that tell these trials apart."""
        ways: dict[str, set[Way]] = defaultdict(set)
        seeds: dict[str, set[int]] = defaultdict(set)
        for trial in trials:
            cell = trial.cell
            ways[trial.benchmark].add((cell.axes, cell.backend, cell.dtype))
            seeds[trial.benchmark].add(trial.seed)
        return cls({b: _varying(map(_fields, some)) | ({"seed"} if len(seeds[b]) > 1 else set())
                    for b, some in ways.items()})  # fmt: skip

    def of_trial(self, trial: Trial) -> str:
        if trial.benchmark not in self.varying:
            return trial.label
        kept = self.varying[trial.benchmark]
        cell, own = trial.cell, kept & {"backend", "dtype"}
        parts = [trial.benchmark, trial.activation, *(getattr(cell, name) for name in sorted(own))]
        if axes := [f"{k}={v}" for k, v in cell.axes if k in kept]:
            parts.append(",".join(axes))
        return "/".join([*parts, *([f"seed={trial.seed}"] if "seed" in kept else [])])

    def of_cell(self, trial: Trial) -> str:
        """What its repeats are called together."""
        return self._of_cells.of_trial(trial)

    @cached_property
    def _of_cells(self) -> Labels:
        return Labels({b: kept - {"seed"} for b, kept in self.varying.items()})

    def of_job(self, job: Job) -> str:
        """The name of its one trial, or what its trials have in common and how many activations they are of."""
        first = job.trials[0]
        if len(job.trials) == 1:
            return self.of_trial(first)
        names = {t.cell.activation for t in job.trials}
        what = f"{len(names)} activations" if len(names) > 1 else first.cell.activation
        shared = Labels({b: kept - {"backend"} for b, kept in self.varying.items()})
        return shared.of_trial(replace(first, cell=first.cell.of(what), control=False))

    def chosen(self, trials: Sequence[Trial], pattern: str) -> Callable[[Trial], bool]:
        """Whether a trial has that label or whole label; where none has, whether it matches as a glob or a part."""
        exact = {t.id for t in trials if pattern in (self.of_trial(t), t.label)}
        text = pattern if any(c in pattern for c in "*?[") else f"*{pattern}*"

        def wanted(trial: Trial) -> bool:
            if exact:
                return trial.id in exact
            return any(fnmatchcase(label, text) for label in (self.of_trial(trial), trial.label))

        return wanted


def unmatched(pattern: str) -> NothingMeasured:
    """A filter that no label matches."""
    return NothingMeasured(f"--filter {in_short(pattern)} matches no trial; `polybench plan --trials` shows them all")


def _fields(way: Way) -> dict[str, Scalar]:
    axes, backend, dtype = way
    return {**dict(axes), "backend": backend, "dtype": dtype}


def _varying(rows: Iterable[Mapping[str, Scalar]]) -> frozenset[str]:
    """The fields that differ; one that only some rows have does."""
    every = list(rows)
    names = {name for row in every for name in row}
    return frozenset(name for name in names if len({row.get(name) for row in every}) > 1)
