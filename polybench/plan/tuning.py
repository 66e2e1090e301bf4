"""Which learning rates are still to be tried, and which one each activation then takes; from records alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from polybench.plan.rates import TUNING, at_edge, best, shared
from polybench.plan.suite import Benchmark, Tune
from polybench.record import Record, Status
from polybench.trial import Cell, Trial

OWN, SHARED = "tuned", "shared"  # what the axis `lr` says instead of a number


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

    def trials(self, cell: Cell, beside: Sequence[Cell]) -> list[Trial]:
        """Every trial that the rate of this cell needs, as far as is known now; `beside` are all in its place."""
        return [t for c in self._asked(cell, beside) for rate in self._rates(cell, beside) for t in self._at(c, rate)]

    def settled(self, cell: Cell, beside: Sequence[Cell]) -> bool:
        """Whether everything that the cell needs has been tried."""
        return all(t.id in self.losses for t in self.trials(cell, beside))

    def rate(self, cell: Cell, beside: Sequence[Cell]) -> float | None:
        """The rate that a cell asks for; None where none ended well."""
        return self._found(cell, beside, self._rates(cell, beside))

    def _asked(self, cell: Cell, beside: Sequence[Cell]) -> Sequence[Cell]:
        """Whose losses decide: the activation's own, or those of all in its place."""
        return [cell] if dict(cell.axes)["lr"] == OWN else beside

    def _rates(self, cell: Cell, beside: Sequence[Cell]) -> list[float]:
        """The grid, and one rate after the other beyond an edge while the best lies there, or lower where none is."""
        rates = sorted(self.tune.lr)
        for _ in range(self.tune.extend):
            if any(t.id not in self.losses for c in self._asked(cell, beside) for r in rates for t in self._at(c, r)):
                break
            found = self._found(cell, beside, rates)
            side = at_edge(found, rates) if found else "low"
            if side == "low":
                rates = [_rounded(rates[0] * rates[0] / rates[1]), *rates]
            elif side == "high":
                rates = [*rates, _rounded(rates[-1] * rates[-1] / rates[-2])]
            else:
                break
        return rates

    def _found(self, cell: Cell, beside: Sequence[Cell], rates: Sequence[float]) -> float | None:
        losses = {
            c.activation: {rate: [self.losses.get(t.id, math.inf) for t in self._at(c, rate)] for rate in rates}
            for c in self._asked(cell, beside)
        }
        return best(losses[cell.activation]) if dict(cell.axes)["lr"] == OWN else shared(losses)

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
