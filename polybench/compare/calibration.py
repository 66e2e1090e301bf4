"""What the sessions of a baseline promise: from which change on each time fails, and how often equal code would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from polybench.compare.baseline import Baseline
from polybench.compare.comparisons import Comparisons
from polybench.compare.drift import LEAST_SESSIONS, Drift, drifts
from polybench.compare.judged import FAILED, UNDECIDED
from polybench.compare.sessions import Key, Session, is_timed
from polybench.compare.stored_times import Bounds, History, bounds, decided
from polybench.compare.verdict import Verdict
from polybench.errors import NothingMeasured
from polybench.metric import Metric
from polybench.plan.governing import allowed, governing, name_of
from polybench.plan.labels import Labels
from polybench.plan.suite import Rule
from polybench.stats import clopper_pearson
from polybench.trial import Cell, Trial


@dataclass(frozen=True)
class Standing:
    """One gated time of one machine: how far its sessions lie apart, and what follows under its rule.

    `typical` is in the metric's unit, `sd` of the log-ratio between sessions; `bounds` are None of too few of them.
    """

    label: str
    metric: Metric
    rule: str
    tolerance: float
    sessions: int
    typical: float
    sd: float
    bounds: Bounds | None

    @property
    def missing(self) -> int:
        """Sessions that it takes until it is judged."""
        return max(0, LEAST_SESSIONS - self.sessions)


@dataclass(frozen=True)
class Calibration:
    """The sessions of one machine under the rules that the baseline was kept with."""

    baseline: Baseline
    sessions: tuple[Session, ...]

    def standings(self) -> list[Standing]:
        """Every gated time, in the order of the sessions."""
        found = drifts(self.sessions)
        return [self._standing(key, rule, found[key]) for key, rule in self._held.items()]

    def _standing(self, key: Key, rule: Rule, drift: Drift) -> Standing:
        count = len(drift.levels)
        typical = median(s.times[key].typical for s in self.sessions if key in s.times)
        share = allowed(rule, typical)
        known = bounds(drift, share, drift.launches, self.tests) if count >= LEAST_SESSIONS else None
        metric, label = self._metrics[key[1].kind][key[2]], self._label(key)
        return Standing(label, metric, name_of(rule), share, count, typical, drift.sd, known)

    def left_out(self) -> list[list[Verdict]]:
        """Each session held against all others: a gate of equal code for each, though they share sessions."""
        return [self._gate(one, [s for s in self.sessions if s is not one]) for one in self.sessions]

    def _gate(self, one: Session, others: Sequence[Session]) -> list[Verdict]:
        found, verdicts = drifts(others), list[Verdict]()
        for key in (k for k in self._held if k in one.times and k in found):
            rule, metric, new = self._held[key], self._metrics[key[1].kind][key[2]], one.times[key]
            was = median(s.times[key].typical for s in others if key in s.times)
            history = History(was, found[key], least=LEAST_SESSIONS - 1)
            made = decided(history, metric, new, allowed(rule, was), self.tests)
            verdicts.append(Verdict.of(made, rule, self._label(key), metric, was, new.typical))
        return verdicts

    @cached_property
    def tests(self) -> int:
        """How many cells of a gate chance may fail: the times of this machine, and the losses."""
        losses = sum(
            self._rule(point.benchmark, point.cell, name) is not None
            for point in self._kept.points()
            for name, metric in self._metrics[point.cell.kind].items()
            if metric.varies_with != "nothing" and not is_timed(metric)
        )
        return max(1, len(self._held) + losses)

    @cached_property
    def _held(self) -> dict[Key, Rule]:
        keys = dict.fromkeys(key for session in self.sessions for key in session.times)
        held = ((key, self._rule(*key)) for key in keys if key[2] in self._metrics.get(key[1].kind, {}))
        return {key: rule for key, rule in held if rule is not None}

    def _rule(self, benchmark: str, cell: Cell, metric: str) -> Rule | None:
        return governing(self.baseline.run.suite.gate, metric, benchmark, cell)

    @property
    def _kept(self) -> Comparisons:
        return self.baseline.compared

    @property
    def _metrics(self) -> Mapping[str, Mapping[str, Metric]]:
        return self._kept.run.metrics

    @cached_property
    def _names(self) -> Labels:
        places = [*self._kept.grid.cells, *((benchmark, cell) for benchmark, cell, _ in self._held)]
        return Labels.of(Trial(benchmark, cell, 0) for benchmark, cell in dict.fromkeys(places))

    def _label(self, key: Key) -> str:
        return self._names.of_cell(Trial(key[0], key[1], 0))


@dataclass(frozen=True)
class Alarms:
    """How gates of equal code ended."""

    gates: int
    failed: int
    cells: int
    failed_cells: int
    undecided: int

    @classmethod
    def of(cls, gates: Iterable[Sequence[Verdict]]) -> Alarms:
        found = [[v.outcome for v in verdicts] for verdicts in gates]
        bad, unsure = {*FAILED, "broken"}, {*UNDECIDED}
        every = [outcome for outcomes in found for outcome in outcomes]
        alarms = sum(not bad.isdisjoint(outcomes) for outcomes in found)
        return cls(len(found), alarms, len(every), sum(o in bad for o in every), sum(o in unsure for o in every))

    @property
    def bound(self) -> tuple[float, float]:
        """Exact 95 % interval of the share of gates that fail."""
        return clopper_pearson(self.failed, self.gates)


def promised(baseline: Baseline) -> Alarms:
    """How often its own sessions fail against one another, over all machines that have enough of them.

    Raises NothingMeasured where none has.
    """
    enough = [s for s in baseline.machines.values() if len(s) >= LEAST_SESSIONS]
    if not enough:
        counts = ", ".join(f"{name} {len(s)}" for name, s in baseline.machines.items()) or "none"
        where = f"{baseline.run.path} has no machine with {LEAST_SESSIONS} sessions ({counts})"
        raise NothingMeasured(f"{where}; polybench calibrate adds some")
    return Alarms.of(gate for sessions in enough for gate in Calibration(baseline, sessions).left_out())
