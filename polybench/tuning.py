"""Which learning rates are still to be tried, and which one each activation then takes; from records alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from polybench.cell import Cell, Trial
from polybench.rates import TUNING, at_edge, best, shared
from polybench.record import Record, Status
from polybench.suite import Benchmark, Tune

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

    def trials(self, cell: Cell) -> list[Trial]:
        """Every trial that the rate of this cell's activation needs, as far as is known now, grid first."""
        return [t for rate in self._rates(cell) for t in self._at(cell, rate)]

    def settled(self, cells: Sequence[Cell]) -> bool:
        """Whether everything that these cells need has been tried."""
        return all(t.id in self.losses for cell in cells for t in self.trials(cell))

    def rate(self, cell: Cell, beside: Sequence[Cell]) -> float | None:
        """The rate that a cell asks for; None where none ended well. `beside` are all activations in its place."""
        if dict(cell.axes)["lr"] == OWN:
            return best(self._tried(cell))
        return shared({c.activation: self._tried(c) for c in beside})

    def _rates(self, cell: Cell) -> list[float]:
        """The grid, and one rate after the other beyond an edge while the best lies there."""
        rates = sorted(self.tune.lr)
        for _ in range(self.tune.extend):
            tried = self._tried(cell, rates)
            found = best(tried) if len(tried) == len(rates) else None
            side = at_edge(found, rates) if found else ""
            if side == "low":
                rates = [_rounded(rates[0] * rates[0] / rates[1]), *rates]
            elif side == "high":
                rates = [*rates, _rounded(rates[-1] * rates[-1] / rates[-2])]
            else:
                break
        return rates

    def _tried(self, cell: Cell, rates: Sequence[float] | None = None) -> dict[float, list[float]]:
        """Losses by rate, of those rates whose every seed has been tried."""
        found: dict[float, list[float]] = defaultdict(list)
        for rate in self._rates(cell) if rates is None else rates:
            ids = [t.id for t in self._at(cell, rate)]
            if all(i in self.losses for i in ids):
                found[rate] = [self.losses[i] for i in ids]
        return dict(found)

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
