"""Base and head of one comparison: the verdict on each gated cell, from what their launches recorded.

All of it follows from what is stored, so a comparison can be judged again.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from polybench.compare.alignment import Alignment, Asked, Key
from polybench.compare.decision import Decision
from polybench.compare.derive import with_derived
from polybench.compare.gate import between
from polybench.compare.in_turns import Turns, decided, limit, ratios, settled
from polybench.compare.sessions import is_timed
from polybench.compare.verdict import Verdict
from polybench.corrections import holm_of, resolves
from polybench.measure.speed_metrics import THROTTLED
from polybench.plan.governing import name_of
from polybench.plan.labels import Labels
from polybench.record import Record
from polybench.run.comparison_folder import AGAIN, Stored
from polybench.run.side import BASE, HEAD, SIDES
from polybench.run.store import Run
from polybench.trial import Cell


class Launched:
    """The launches of a comparison so far: for each time that is asked, what of them belongs together."""

    def __init__(self, stored: Stored, asked: Iterable[Asked]):
        derived = {a.metric.name for a in asked} - {
            m["name"] for run in stored.runs.values() for ms in run.header["metrics"].values() for m in ms
        }
        self._records: dict[str, dict[Key, dict[int, Record]]] = {}
        for side in SIDES:
            run = with_derived(stored.runs[side]) if derived else stored.runs[side]
            self._records[side] = {}
            for record in run.records:
                key = record.trial.benchmark, record.trial.cell
                self._records[side].setdefault(key, {})[record.trial.seed] = record

    def turns(self, asked: Asked, again: bool = False) -> Turns:
        """Its launches, of the first look or of the second."""
        base, head, control = (self._of(side, asked, again) for side in SIDES)
        sign = -1 if asked.metric.better == "higher" else 1

        def beside(arm: Mapping[int, Record]) -> list[list[float]]:
            both = sorted(base.keys() & arm.keys())
            launches = [ratios(arm[k], base[k], asked.metric.name, THROTTLED) for k in both]
            return [[sign * value for value in launch] for launch in launches]

        allowed = limit(asked.rule.tolerance, asked.rule.floor, self.typical(BASE, asked, again))
        return Turns(beside(head), beside(control), allowed, sign)

    def typical(self, side: str, asked: Asked, again: bool = False) -> float | None:
        """The median of all blocks, None where there is none."""
        records = self._of(side, asked, again).values()
        values = [v for r in records if (m := r.get(asked.metric.name)) for v in m.values]
        return statistics.median(values) if values else None

    def broken(self, asked: Asked, again: bool = False) -> str:
        """Which side could not measure it, and why; nothing where all could."""
        for side in SIDES:
            for record in self._of(side, asked, again).values():
                if record.status.broken:
                    return f"{side}: {record.status.words}: {record.error}"
        return ""

    def unsupported(self, asked: Asked) -> dict[str, str]:
        """Why a side does not serve it, by side."""
        return {
            side: f"{side}: {record.error}"
            for side in SIDES
            for record in self._of(side, asked, False).values()
            if record.error and not record.status.broken
        }

    def any(self, asked: Asked, again: bool = False) -> bool:
        return bool(self._of(HEAD, asked, again))

    def _of(self, side: str, asked: Asked, again: bool) -> dict[int, Record]:
        records = self._records[side].get((asked.benchmark, asked.cell), {})
        return {seed: r for seed, r in records.items() if (seed >= AGAIN) == again}


def undecided(
    stored: Stored, asked: Sequence[Asked], cells: Iterable[Cell], tests: int, again: bool = False
) -> set[Cell]:
    """Which of these cells need further launches for what is asked of them; `tests` is how much is tested in all."""
    wanted = set(cells)
    mine = [a for a in asked if a.cell in wanted]
    launched = Launched(stored, mine)
    return {a.cell for a in mine if not settled(launched.turns(a, again), tests)}


def failing(stored: Stored, alignment: Alignment) -> list[Asked]:
    """The times that failed in the first look."""
    launched = Launched(stored, alignment.asked)
    first = _corrected({asked: _one(launched, asked) for asked in alignment.asked})
    return [asked for asked, decision in first.items() if decision.outcome == "fail"]


def verdicts(stored: Stored) -> list[Verdict]:
    """The verdict on every gated cell of either side, rule by rule."""
    alignment = Alignment(stored.plans[BASE], stored.plans[HEAD])
    found = [
        Verdict(name_of(rule), alignment.labels.of_cell(odd.trial), metric, odd.outcome, reason=odd.reason)
        for odd, rule, metric in alignment.odd()
    ]
    launched, beside = Launched(stored, alignment.asked), _beside(stored, alignment)
    alone = {asked: _one(launched, asked) for asked in alignment.asked}
    tested = {f"beside {i}": v.p for i, v in enumerate(beside) if v.p is not None}
    timed = _of_times(_corrected(alone, tested), launched, alignment)
    adjusted = holm_of({**tested, **{a: d.p for a, d in alone.items() if d.p is not None}})
    for i, verdict in enumerate(beside):
        if verdict.outcome == "fail" and not resolves(adjusted.get(f"beside {i}", 0.0)):
            reason = f"{verdict.reason}: {_holm(adjusted, f'beside {i}')}"
            beside[i] = replace(verdict, outcome="inconclusive", reason=reason)
    return [*found, *timed, *beside]


def _of_times(first: Mapping[Asked, Decision], launched: Launched, alignment: Alignment) -> list[Verdict]:
    """Of what was timed in turns: both looks together."""
    failed = [a for a, d in first.items() if d.outcome == "fail"]
    second = _corrected({a: _one(launched, a, again=True) for a in failed if launched.any(a, again=True)})
    found = []
    for asked, decision in first.items():
        again = second.get(asked)
        made = _both(decision, again, launched.turns(asked), launched.turns(asked, True)) if again else decision
        turns = launched.turns(asked, bool(again))
        found.append(
            Verdict(
                name_of(asked.rule),
                alignment.labels.of_cell(alignment.timed[asked.benchmark, asked.cell]),
                asked.metric,
                made.outcome,
                launched.typical(BASE, asked, bool(again)),
                launched.typical(HEAD, asked, bool(again)),
                turns.ratio(made.change) if made.change else None,
                made.reason,
                made.p,
            )
        )
    return found


def _one(launched: Launched, asked: Asked, again: bool = False) -> Decision:
    if trouble := launched.broken(asked, again):
        return Decision("broken", trouble)
    if lacking := launched.unsupported(asked):
        return Decision("missing" if set(lacking) == {HEAD} else "not comparable", "; ".join(lacking.values()))
    return decided(launched.turns(asked, again))


def _both(first: Decision, again: Decision, before: Turns, after: Turns) -> Decision:
    """What failed at first is judged by the second look alone."""
    if not (first.change and again.change):
        return again
    told = f"{before.shown(first.change)} times the base at first, {after.shown(again.change)} again"
    if again.outcome in ("pass", "improved"):
        return replace(again, outcome="pass", reason=f"did not recur: {told}")
    reason = told if again.outcome == "fail" else f"{told}: {again.reason}"
    return replace(again, reason=reason)


def _corrected(decisions: Mapping[Asked, Decision], beside: Mapping[str, float] | None = None) -> dict[Asked, Decision]:
    """What fails alone but not among so many is not decided; `beside` are p values of what else is tested."""
    adjusted = holm_of({**(beside or {}), **{a: d.p for a, d in decisions.items() if d.p is not None}})
    return {
        a: replace(d, outcome="inconclusive", reason=f"{d.reason}: {_holm(adjusted, a)}")
        if d.outcome == "fail" and not resolves(adjusted.get(a))
        else d
        for a, d in decisions.items()
    }


def _holm(adjusted: Mapping[Any, float], which: object) -> str:
    return f"Holm p {adjusted[which]:.2g} over {len(adjusted)} cells"


def _beside(stored: Stored, alignment: Alignment) -> list[Verdict]:
    """Of exact counts, accuracies and losses: as a gate judges two runs, each with the cells that both have."""
    rules, keys = alignment.beside()
    if not rules:
        return []

    def part(side: str) -> Run:
        run = stored.runs[side]
        suite = {**run.header["suite"], "gate": [r.model_dump(mode="json") for r in rules]}
        kept = tuple(r for r in run.records if (r.trial.benchmark, r.trial.cell) in keys)
        return replace(run, header={**run.header, "suite": suite}, records=kept)

    base, head = part(BASE), part(HEAD)
    labels = Labels.of(r.trial for one in (base, head) for r in one.records)  # as `between` has them
    failed = [(side, r) for side, one in ((HEAD, head), (BASE, base)) for r in one.records if r.status.broken]
    why = {labels.of_cell(r.trial): f"{side}: {r.status.words}: {r.error}" for side, r in failed}

    def known(verdict: Verdict) -> Verdict:
        if verdict.label in why:
            return replace(verdict, outcome="broken", reason=why[verdict.label])
        if is_timed(verdict.metric):  # a comparison is no history of sessions
            return replace(
                verdict, outcome="not comparable", reason="of times only those taken in turns are compared here"
            )
        return verdict

    return [known(verdict) for verdict in between(base, head)]
