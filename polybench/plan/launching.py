"""Which launches a place still needs, and who takes part in them: decided from the records alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from polybench.launches import Launches, Rules, going_on
from polybench.record import Record, block_ratios
from polybench.trial import Trial

Arm = tuple[str, str, bool]  # activation, backend, whether it is the second copy


class Launching:
    """The launches of one benchmark so far.

    A round is what lies between two looks of the `rules`. All take part in the first. After each the arms that are
    settled leave, and with its last arm the reference of a backend and its second copy, which are in every launch.
    There is no further round where nobody is left, and none where the next launch would pass the budget. A launch takes
    what the middle one of its round took, so that what is made ready before the first is not counted. Where an arm
    has failed, nobody waits for it.
    """

    def __init__(self, rules: Rules, metric: str, reference: str, records: Iterable[Record]):
        self.rules, self.metric, self.reference = rules, metric, reference
        self._records: Mapping[str, Record] = {r.trial.id: r for r in records}
        self._rounds: dict[tuple[Trial, ...], list[tuple[int, frozenset[Arm]]]] = {}

    def needed(self, trials: Sequence[Trial]) -> list[Trial]:
        """Of all trials of one launch in one place those that are asked for; none where that is not known yet."""
        launch, before = trials[0].seed, 0
        for end, arms in self._known(trials):
            if before <= launch < end:
                return [t for t in trials if _arm(t) in arms]
            before = end
        return []

    def ends(self, trials: Sequence[Trial]) -> int:
        """How many launches this place has, as far as is known."""
        return self._known(trials)[-1][0]

    def _known(self, trials: Sequence[Trial]) -> list[tuple[int, frozenset[Arm]]]:
        """Each round that can be made: the number of launches at its end, and who takes part."""
        place = tuple(replace(t, seed=0) for t in trials)
        if place not in self._rounds:
            self._rounds[place] = list(self._found(place))
        return self._rounds[place]

    def _found(self, place: Sequence[Trial]) -> Iterable[tuple[int, frozenset[Arm]]]:
        arms, begin, spent = frozenset(map(_arm, place)), 0, 0.0
        looks = self.rules.looks()
        for look, following in zip(looks, [*looks[1:], looks[-1]], strict=True):
            if not begin:
                yield look, arms
            there = [self._launch(place, arms, k) for k in range(begin, look)]
            if not all(there) or look == following:
                return
            took = median(max(r.duration_s for r in launch) for launch in there)
            spent += took * len(there)
            arms = self._open(place, arms, look)
            affordable = int(min(following - look, (self.rules.budget_s - spent) / max(took, 1e-9)))
            if not arms or affordable < 1:
                return
            yield look + affordable, arms
            if look + affordable < following:
                return
            begin = look

    def _launch(self, place: Sequence[Trial], arms: frozenset[Arm], launch: int) -> list[Record]:
        """What that launch left behind; empty while a trial of it is missing."""
        found = [self._records.get(replace(t, seed=launch).id) for t in place if _arm(t) in arms]
        return [r for r in found if r] if all(found) else []

    def _open(self, place: Sequence[Trial], arms: frozenset[Arm], look: int) -> frozenset[Arm]:
        """Who takes part in the next round."""
        members: dict[str, list[Trial]] = defaultdict(list)
        for trial in place:
            if _arm(trial) in arms:
                members[trial.cell.backend].append(trial)
        left: set[Arm] = set()
        for backend, trials in members.items():
            base = next((t for t in trials if t.cell.activation == self.reference and not t.control), None)
            control = next((t for t in trials if t.control), None)
            if not base or not control:
                continue
            others = [t for t in trials if t not in (base, control)]
            ratios = {_arm(t): r for t in others if (r := self._ratios(t, base, look))}
            if going := going_on(ratios, self._ratios(control, base, look), self.rules):
                left |= {*going, (self.reference, backend, False), (self.reference, backend, True)}
        return frozenset(left)

    def _ratios(self, trial: Trial, base: Trial, look: int) -> Launches:
        """Log-ratios to the reference of every launch so far; none of an arm that failed in one of them."""
        found = []
        for launch in range(look):
            mine, theirs = (self._records[replace(t, seed=launch).id] for t in (trial, base))
            found.append(block_ratios(mine, theirs, self.metric))
        return found if all(found) else []


def _arm(trial: Trial) -> Arm:
    return trial.cell.activation, trial.cell.backend, trial.control
