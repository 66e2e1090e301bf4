"""Which learning rates are still to be tried, and which one each activation then takes; from records alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Literal

from polybench.plan.suite import Benchmark, Tune
from polybench.record import Record, Status
from polybench.spec import Scalar
from polybench.trial import Cell, Trial

UNTUNED = ("finish_at",)  # axes that the trials of a tuning leave out
TUNING = ".tuning"  # how the name of a benchmark ends that tunes the rate of another
MOST_APART = 2.0  # neighbours of the grid; a coarser one can miss the best rate by more than activations differ
Losses = Mapping[float, Sequence[float]]  # learning rate -> loss of each tuning seed; not finite: diverged or failed

OWN, SHARED = "tuned", "shared"  # what the axis `lr` says instead of a number,
WORDS = {OWN: "each at its own best rate", SHARED: "all at the shared rate"}  # and what is said of that

_Tried = dict[float, int]  # learning rate -> with how many of the seeds it is tried


def asks(cell: Cell) -> bool:
    """Whether the cell leaves its learning rate to tuning."""
    return cell.get("lr") in (OWN, SHARED)


@dataclass(frozen=True)
class Tuning:
    """The tuning of all cells that share its trainings, and the loss of every trial so far, infinite where it failed.

    The grid is tried with the first seed, and beyond an edge while the best rate lies there. The other seeds are
    spent where rates are close: on the best one and those within a factor of `MOST_APART` of it, and so on while
    another turns out best among them. Only a rate that was tried with every seed is taken.
    """

    name: str
    tune: Tune
    cells: tuple[Cell, ...]
    losses: Mapping[str, float]  # by the id of the trial

    @classmethod
    def by_cell(
        cls, benchmark: Benchmark, objective: str, cells: Iterable[Cell], records: Iterable[Record]
    ) -> dict[Cell, Tuning]:
        """The tuning of each of a benchmark's cells that ask for one."""
        assert benchmark.tune
        name = benchmark.name + TUNING
        losses = {r.trial.id: _loss(r, objective) for r in records if r.trial.benchmark == name}
        places: dict[Cell, list[Cell]] = defaultdict(list)
        for cell in filter(asks, cells):
            places[_tuned_once(cell).without("lr").place].append(cell)
        tunings = [cls(name, benchmark.tune, tuple(group), losses) for group in places.values()]
        return {cell: tuning for tuning in tunings for cell in tuning.cells}

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every trial that the rates of these cells need, as far as is known now."""
        tried = [(name, rate, rates[rate]) for name, rates in self._tried.items() for rate in sorted(rates)]
        return tuple(t for name, rate, seeds in tried for t in self._at(name, rate, seeds))

    @property
    def ended(self) -> bool:
        """Whether everything that is needed has been tried."""
        return all(t.id in self.losses for t in self.trials)

    def rate(self, cell: Cell) -> float | None:
        """The rate that a cell asks for, once the tuning has ended; None where none ended well."""
        losses = {
            name: {rate: self._of(name, rate, seeds) for rate, seeds in rates.items()}
            for name, rates in self._tried.items()
        }
        return best_rate(losses[cell.activation]) if cell.axis("lr") == OWN else shared_rate(losses)

    @cached_property
    def _tried(self) -> dict[str, _Tried]:
        """By activation all that its rates need, as far as the losses tell: while some are missing, no more."""
        names = tuple(dict.fromkeys(c.activation for c in self.cells))
        words = {c.axis("lr") for c in self.cells}
        # Whose mean loss decides: that of each alone, and that of all.
        asked = [*([(name,) for name in names] if OWN in words else []), *([names] if SHARED in words else [])]
        tried = {name: dict.fromkeys(self.tune.lr, 1) for name in names}
        while all(self._known(name, rates) for name, rates in tried.items()):
            steps = [(of, self._step({name: tried[name] for name in of})) for of in asked]
            if not any(step for _, step in steps):
                break
            for of, step in steps:
                for name in of:
                    tried[name] |= {rate: max(seeds, tried[name].get(rate, 0)) for rate, seeds in step.items()}
        return tried

    def _step(self, tried: Mapping[str, _Tried]) -> _Tried:
        """What is next for activations whose mean loss decides: a rate beyond the edge, or all seeds for some."""
        every, common = len(self.tune.seeds), set.intersection(*map(set, tried.values()))
        rates = {rate: min(of[rate] for of in tried.values()) for rate in sorted(common)}
        whole, first = [r for r, seeds in rates.items() if seeds == every], self._means(tried, rates, 1)
        best = _least(self._means(tried, whole, every)) or _least({r: first[r] for r in first if r not in whole})
        side = at_edge(best, rates) if best else "low"
        if side and sum(_beyond(side, rate, self.tune.lr) for rate in rates) < self.tune.extend:
            return {_further(side, list(rates)): 1}
        return {r: every for r in first if best and r not in whole and close(r, best)}

    def _means(self, names: Iterable[str], rates: Iterable[float], seeds: int) -> dict[float, float]:
        """Mean loss over activations and the first so many seeds, of the rates that all of them survived."""
        losses = {rate: [x for name in names for x in self._of(name, rate, seeds)] for rate in rates}
        return sound(losses)

    def _known(self, name: str, rates: _Tried) -> bool:
        return all(t.id in self.losses for rate, seeds in rates.items() for t in self._at(name, rate, seeds))

    def _of(self, name: str, rate: float, seeds: int) -> list[float]:
        return [self.losses.get(t.id, math.inf) for t in self._at(name, rate, seeds)]

    def _at(self, name: str, rate: float, seeds: int) -> list[Trial]:
        cell = _with(_tuned_once(self.cells[0].of(name)), lr=rate)
        return [Trial(self.name, cell, seed) for seed in self.tune.seeds[:seeds]]


def _tuned_once(cell: Cell) -> Cell:
    """What a comparison splits by source is tuned once, and its loss is read at the end alone."""
    axes = tuple((k, "both" if k == "varies" else v) for k, v in cell.axes if k not in UNTUNED)
    return replace(cell, axes=axes)


def _with(cell: Cell, **axes: Scalar) -> Cell:
    return replace(cell, axes=tuple(sorted({**dict(cell.axes), **axes}.items())))


def _beyond(side: str, rate: float, grid: Sequence[float]) -> bool:
    return rate < min(grid) if side == "low" else rate > max(grid)


def _further(side: str, rates: Sequence[float]) -> float:
    """One step beyond the ascending rates, as far as their last; six digits give it one name however reached."""
    edge, before = rates[:2] if side == "low" else rates[:-3:-1]
    return float(f"{edge * edge / before:.6g}")


def close(rate: float, best: float) -> bool:
    """Whether one is at most the widest step of a grid away from the other."""
    return max(rate, best) <= min(rate, best) * MOST_APART * (1 + 1e-3)


def _least(means: Mapping[float, float]) -> float | None:
    """The rate of the least mean, the lower of two that tie."""
    return min(means, key=means.__getitem__, default=None)


def _loss(record: Record, objective: str) -> float:
    found = record.get(objective)
    return found.values[-1] if record.status is Status.OK and found and found.values else math.inf


def sound(losses: Losses) -> dict[float, float]:
    """Mean loss by rate, of the rates that every seed survived, ascending.

    A seed is lost where its loss is not finite, and where a rate has fewer of them than another has.
    """
    seeds = max(map(len, losses.values()), default=0)
    kept = {r: v for r, v in losses.items() if v and len(v) == seeds and all(map(math.isfinite, v))}
    return {rate: fmean(kept[rate]) for rate in sorted(kept)}


def best_rate(losses: Losses) -> float | None:
    """The rate of the least mean loss, the lower one of two that tie; None where no rate is `sound`."""
    return _least(sound(losses))


def at_edge(rate: float, tried: Iterable[float]) -> Literal["low", "high", ""]:
    """Whether nothing below or nothing above `rate` was tried; a single rate lies at the low edge.

    What diverged was tried too: it bounds the best rate from above.
    """
    others = [r for r in tried if r != rate]
    if not any(r < rate for r in others):
        return "low"
    return "" if any(r > rate for r in others) else "high"


def shared_rate(by_activation: Mapping[str, Losses]) -> float | None:
    """The rate of the least mean over activations, among those `sound` for every one; None where there is none."""
    means = [sound(losses) for losses in by_activation.values()]
    common = set.intersection(*map(set, means)) if means else set()
    return min(sorted(common), key=lambda rate: fmean(m[rate] for m in means), default=None)
