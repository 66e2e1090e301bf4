"""A baseline and a run aligned cell by cell: of each gated metric what both say, ready to be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

from polybench.compare.baseline import Baseline
from polybench.compare.comparisons import Comparisons
from polybench.compare.drift import Drift, drifts
from polybench.compare.sessions import Key, Session, biasing, is_timed, protocol_differences
from polybench.compare.stored_times import History
from polybench.compare.verdict import Pair
from polybench.machine.environment import differences
from polybench.metric import Metric
from polybench.plan.governing import governing, matches
from polybench.plan.labels import Labels
from polybench.plan.suite import Rule
from polybench.run.store import Run
from polybench.spec import Scalar
from polybench.trial import Cell, Trial

Place = tuple[str, Cell]  # a benchmark and a cell


@dataclass(frozen=True)
class Aligned:
    """Every cell of either side, and which of the baseline's sessions may be compared with this run."""

    held: Baseline
    run: Run

    def pairs(self, rule: Rule) -> list[Pair]:
        """Every cell of either side that this rule holds and whose kind has its metric.

        Cells that have no such metric are left out, unless all are so: a rule that holds nothing has to be told.
        """
        found = [
            self._pair(metric, benchmark, cell)
            for benchmark, cell in self._places
            if (metric := self._metric(cell, rule.metric))
            and governing(self.run.suite.gate, rule.metric, benchmark, cell) is rule
        ]
        return [pair for pair in found if not pair.unmeasured] or found

    def matched(self, rule: Rule) -> bool:
        """Whether it matches any cell, be it that a later rule holds it."""
        return any(self._metric(cell, rule.metric) and matches(b, cell, rule.where) for b, cell in self._places)

    def elsewhere(self, rule: Rule) -> bool:
        """Whether it would match a cell, were its device another."""
        where = {k: v for k, v in rule.where.items() if k != "device"}
        return where != rule.where and self.matched(rule.model_copy(update={"where": where}))

    @cached_property
    def _sides(self) -> tuple[Comparisons, Comparisons]:
        return self.held.compared, Comparisons.of(self.run)

    @cached_property
    def _places(self) -> list[Place]:
        timed = [(benchmark, cell) for s in self.held.sessions for benchmark, cell, _ in s.times]
        return list(dict.fromkeys([*self._sides[0].grid.cells, *timed, *self._sides[1].grid.cells]))

    @cached_property
    def _names(self) -> Labels:
        return Labels.of(Trial(benchmark, cell, 0) for benchmark, cell in self._places)

    def _pair(self, metric: Metric, benchmark: str, cell: Cell) -> Pair:
        before, after = self._sides
        place = benchmark, cell
        return Pair(
            metric,
            self._names.of_cell(Trial(benchmark, cell, 0)),
            before.grid.cells.get(place),
            after.grid.cells.get(place),
            (before.grid, after.grid),
            self._bumped.get(place),
            self._history((benchmark, cell, metric.name)) if is_timed(metric) else None,
            self._redefined(cell, metric.name),
        )

    def _redefined(self, cell: Cell, name: str) -> tuple[int, int] | None:
        """The versions of a metric in the baseline and in the run, where they differ."""
        was, now = (side.run.metrics.get(cell.kind, {}).get(name) for side in self._sides)
        return (was.version, now.version) if was and now and was.version != now.version else None

    def _metric(self, cell: Cell, name: str) -> Metric | None:
        known = (side.run.metrics.get(cell.kind, {}).get(name) for side in reversed(self._sides))
        return next((metric for metric in known if metric), None)

    @cached_property
    def _bumped(self) -> dict[Place, tuple[int, int]]:
        """The versions of the baseline's cell and of the run's, of every cell that only its kind's version tells."""
        cells = self._sides[1].grid.cells
        gone = [place for place in self._places if place not in cells]
        new = {(b, replace(cell, version=0)): cell.version for b, cell in cells} if gone else {}
        pairs = ((place, new.get((place[0], replace(place[1], version=0)))) for place in gone)
        return {place: (place[1].version, now) for place, now in pairs if now}

    def _history(self, key: Key) -> History:
        """What the sessions say of a time: those that compare, or of the others what sets the nearest one apart."""
        benchmark = key[0]
        there = [(why, s.times[key]) for s, why in self._beside(benchmark) if key in s.times]
        fit = [one for why, one in there if not why]
        if fit:
            return History(median(one.typical for one in fit), self._drifts[benchmark][key])
        if there:
            nearest = min((why for why, _ in there), key=len)
            why = f"measured otherwise ({'; '.join(nearest)})"
            return History(median(one.typical for _, one in there), why=why)
        own = [s.times[key].typical for s in self.held.sessions if key in s.times]
        return History(median(own), why="its only session is this very run") if own else History()

    @cached_property
    def _drifts(self) -> dict[str, dict[Key, Drift]]:
        """Of the sessions that compare, benchmark by benchmark, since protocols may differ."""
        names = {benchmark for benchmark, _ in self._places}
        return {name: drifts(s for s, why in self._beside(name) if not why) for name in names}

    def _beside(self, benchmark: str) -> list[tuple[Session, list[str]]]:
        """Every other session, and why its times of a benchmark cannot be compared with this run's."""
        here = self._protocols[benchmark]
        return [
            (one, [*why, *protocol_differences(one.protocols.get(benchmark, {}), here)]) for one, why in self._others
        ]

    @cached_property
    def _others(self) -> list[tuple[Session, list[str]]]:
        """Sessions, but for the one that this run itself became, and what sets each apart whatever it timed."""
        began, here = self.run.header.get("started_at"), self.run.environment
        forced = [f"{r.name} was resumed after changes" for r in (self.run, self.held.run) if r.header.get("forced")]
        others = [s for s in self.held.sessions if not began or s.started_at != began]
        return [(s, [*differences(s.environment, here), *forced]) for s in others]

    @cached_property
    def _protocols(self) -> Mapping[str, Mapping[str, Scalar]]:
        grid = self._sides[1].grid
        return {name: biasing(grid.benchmark(name)) for name, _ in self._places}
