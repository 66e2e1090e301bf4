"""Is a verdict on this machine to be trusted? Equal code must pass as equal, slowed code must be found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from polybench.compare.detectors import DETECTORS, EQUAL, OURS, Copies, Launches, Ruling
from polybench.measure.kinds import selfcheck as kind
from polybench.record import Record, Status
from polybench.run.store import Run
from polybench.stats import clopper_pearson
from polybench.trial import Cell

KIND = "selfcheck"
SLOWDOWNS = (1.02, 1.03, 1.05, 1.08, 1.10)  # that are told of, as far as a cell's copy was slowed
LEAST_POWER = 0.5  # at the largest slowdown; where even the upper bound is below, no verdict can be expected
WORST_RATE = 0.02  # of false alarms that the confidence of the intervals allows at the very margin
_LEVELS = {"activation": "alone", "block": "in a block", "decoder": "in a decoder"}


@dataclass(frozen=True)
class Judged:
    """A cell and what every rule says of its copies, by rule and by the factor they were slowed."""

    copies: Copies
    rulings: Mapping[str, Mapping[float, Ruling]]

    @property
    def level(self) -> str:
        """In words."""
        return _LEVELS[str(self.copies.cell.axis("level"))]


def judged(run: Run) -> list[Judged]:
    """Every cell that the run measured, judged by every rule; all else here is counted from this."""
    return [
        Judged(of, {d.name: {f: d.rule(of, other) for f, other in of.others.items()} for d in DETECTORS})
        for of in cells(run)
    ]


def cells(run: Run) -> list[Copies]:
    """What the run measured, cell by cell; only launches that measured every copy count."""
    groups: dict[tuple[str, Cell], list[Record]] = defaultdict(list)
    for record in run.records:
        if record.trial.cell.kind == KIND and record.status is Status.OK:
            groups[record.trial.benchmark, record.trial.cell].append(record)
    return [_copies(cell, sorted(records, key=lambda r: r.trial.seed)) for (_, cell), records in groups.items()]


def _copies(cell: Cell, records: Sequence[Record]) -> Copies:
    def times(metric: str) -> Launches:
        return [m.values for r in records if (m := r.get(metric))]

    equal, extra, most = times(kind.EQUAL.name), times(kind.EXTRA.name), float(cell.axis("slowdown"))
    others = {EQUAL: equal}
    if extra:
        others |= {f: _slowed(equal, extra, (f - 1) / (most - 1)) for f in SLOWDOWNS if f <= most}
    else:
        others[most] = times(kind.SLOWED.name)
    return Copies(cell, times(kind.BASE.name), times(kind.CONTROL.name), others, [r.duration_s for r in records])


def _slowed(equal: Launches, extra: Launches, share: float) -> Launches:
    """The copy with so much of its extra work."""
    return [[t + share * e for t, e in zip(own, more, strict=True)] for own, more in zip(equal, extra, strict=True)]


def share(found: Iterable[Judged], rule: str, factor: float) -> tuple[int, int]:
    """(cells in which the rule says that a copy differs, cells that have a copy slowed by the factor)."""
    rulings = [j.rulings[rule][factor] for j in found if factor in j.rulings[rule]]
    return sum(r.flags for r in rulings), len(rulings)


def conclusion(found: Sequence[Judged]) -> tuple[bool, str]:
    """Whether verdicts are to be trusted on this machine, and the sentence that says why.

    They are not where more equal code is called different than the intervals promise, or slowed code is not found.
    """
    alarms, count = share(found, OURS, EQUAL)
    low, high = clopper_pearson(alarms, count)
    levels = ", ".join(f"{n} {level}" for level, n in Counter(j.level for j in found).items())
    reason = f"{alarms} false alarms in {count} cells ({levels}), so in at most {high:.1%} of cells (95% bound)"
    most = max(f for j in found for f in j.copies.others)
    power = clopper_pearson(*share(found, OURS, most))[1]
    if power <= LEAST_POWER:
        uneven = f"times are so uneven that x{most:.2f} was found in at most {power:.0%}"
        return False, f"{reason}, but {uneven}: see polybench doctor"
    if low > WORST_RATE:
        promise = f"and at least {low:.1%}, more than the intervals promise"
        return False, f"{reason}, {promise}: quiet the machine, see polybench doctor"
    return True, reason
