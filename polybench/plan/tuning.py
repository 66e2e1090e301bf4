"""Which learning rates are still to be tried, and which one each activation then takes; from records alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from polybench.plan.suite import Benchmark, Tune
from polybench.record import Record, Status
from polybench.trial import Cell, Trial

TUNING = ".tuning"  # how the name of a benchmark ends that tunes the rate of another
Losses = Mapping[float, Sequence[float]]  # learning rate -> loss of each tuning seed; not finite: diverged or failed

OWN, SHARED = "tuned", "shared"  # what the axis `lr` says instead of a number,
WORDS = {OWN: "each at its own best rate", SHARED: "all at the shared rate"}  # and what is said of that


def asks(cell: Cell) -> bool:
    """Whether the cell leaves its learning rate to tuning."""
    return dict(cell.axes).get("lr") in (OWN, SHARED)


@dataclass(frozen=True)
class Tuning:
    """The tuning of one benchmark: what was asked, and the loss of every trial so far, infinite where it failed."""

    name: str
    tune: Tune
    losses: dict[str, float]  # by the id of the trial

    @classmethod
    def of(cls, benchmark: Benchmark, objective: str, records: Iterable[Record]) -> Tuning:
        assert benchmark.tune
        name = benchmark.name + TUNING
        found = {r.trial.id: _loss(r, objective) for r in records if r.trial.benchmark == name}
        return cls(name, benchmark.tune, found)

    def trials(self, cell: Cell, siblings: Sequence[Cell]) -> list[Trial]:
        """Every trial that the rate of this cell needs, as far as is known now; `siblings` are all in its place."""
        return [
            t for c in self._asked(cell, siblings) for rate in self._rates(cell, siblings) for t in self._at(c, rate)
        ]

    def tried_all(self, cell: Cell, siblings: Sequence[Cell]) -> bool:
        """Whether everything that the cell needs has been tried."""
        return all(t.id in self.losses for t in self.trials(cell, siblings))

    def rate(self, cell: Cell, siblings: Sequence[Cell]) -> float | None:
        """The rate that a cell asks for; None where none ended well."""
        return self._found(cell, siblings, self._rates(cell, siblings))

    def _asked(self, cell: Cell, siblings: Sequence[Cell]) -> Sequence[Cell]:
        """Whose losses decide: the activation's own, or those of all in its place."""
        return [cell] if dict(cell.axes)["lr"] == OWN else siblings

    def _rates(self, cell: Cell, siblings: Sequence[Cell]) -> list[float]:
        """The grid, and one rate after the other beyond an edge while the best lies there, or lower where none is."""
        rates = sorted(self.tune.lr)
        for _ in range(self.tune.extend):
            if any(t.id not in self.losses for c in self._asked(cell, siblings) for r in rates for t in self._at(c, r)):
                break
            found = self._found(cell, siblings, rates)
            side = at_edge(found, rates) if found else "low"
            if side == "low":
                rates = [_rounded(rates[0] * rates[0] / rates[1]), *rates]
            elif side == "high":
                rates = [*rates, _rounded(rates[-1] * rates[-1] / rates[-2])]
            else:
                break
        return rates

    def _found(self, cell: Cell, siblings: Sequence[Cell], rates: Sequence[float]) -> float | None:
        losses = {
            c.activation: {rate: [self.losses.get(t.id, math.inf) for t in self._at(c, rate)] for rate in rates}
            for c in self._asked(cell, siblings)
        }
        return best_rate(losses[cell.activation]) if dict(cell.axes)["lr"] == OWN else shared_rate(losses)

    def _at(self, cell: Cell, rate: float) -> list[Trial]:
        axes = {**dict(cell.axes), "lr": rate}
        if "varies" in axes:
            axes["varies"] = "both"  # what a comparison splits by source is tuned once
        fixed = replace(cell, axes=tuple(sorted(axes.items())))
        return [Trial(self.name, fixed, seed) for seed in self.tune.seeds]


def _loss(record: Record, objective: str) -> float:
    found = record.get(objective)
    return found.values[-1] if record.status is Status.OK and found and found.values else math.inf


def _rounded(rate: float) -> float:
    """Six digits, so that a rate has one name however it was reached."""
    return float(f"{rate:.6g}")


def sound(losses: Losses) -> dict[float, float]:
    """Mean loss by rate, of the rates that every seed survived, ascending.

    A seed is lost where its loss is not finite, and where a rate has fewer of them than another has.
    """
    seeds = max(map(len, losses.values()), default=0)
    kept = {r: v for r, v in losses.items() if v and len(v) == seeds and all(map(math.isfinite, v))}
    return {rate: fmean(kept[rate]) for rate in sorted(kept)}


def best_rate(losses: Losses) -> float | None:
    """The rate of the least mean loss, the lower one of two that tie; None where no rate is `sound`."""
    means = sound(losses)
    return min(means, key=means.__getitem__, default=None)


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
