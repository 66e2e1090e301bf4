"""Is a verdict on this machine to be trusted? Equal code must pass as equal, slowed code must be found."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from polybench.compare.comparison import judge_times
from polybench.measure.kinds.selfcheck import BASE, CONTROL, EQUAL, SLOWED
from polybench.measure.speed_metrics import TOTAL
from polybench.record import Record, Status
from polybench.run.store import Run
from polybench.stats import clopper_pearson, launch_excess, of_launches
from polybench.trial import Cell

KIND = "selfcheck"
LEAST_POWER = 0.5  # at the largest slowdown; where even the upper bound is below, no verdict can be expected
WORST_RATE = 0.02  # of false alarms that the confidence of the intervals allows at the very margin

Launches = list[list[float]]


@dataclass(frozen=True)
class Cells:
    """Times of one cell's copies in seconds, a list a launch; only launches that measured all of them."""

    slowdown: float
    base: Launches
    control: Launches
    equal: Launches
    slowed: Launches


def cells(run: Run) -> list[Cells]:
    """What the run measured, cell by cell."""
    groups: dict[Cell, list[Record]] = defaultdict(list)
    for record in run.records:
        if record.trial.cell.kind == KIND and record.status is Status.OK:
            groups[record.trial.cell].append(record)
    return [
        Cells(
            float(cell.axis("slowdown")),
            *([list(m.values) for r in records if (m := r.get(arm.name))] for arm in (BASE, CONTROL, EQUAL, SLOWED)),
        )
        for cell, records in groups.items()
    ]


@dataclass(frozen=True)
class Detector:
    """A way to decide whether times differ: `flags(cell, other)` says that a copy's do from the first's."""

    name: str
    flags: Callable[[Cells, Launches], bool]


def ours(cell: Cells, other: Launches, margin: float) -> str:
    """The verdict of polybench on all launches."""
    ratios = [log_ratios(cell.base, o) for o in (other, cell.control, cell.equal, cell.slowed)]
    excess = launch_excess(ratios[1:])
    return judge_times(ratios[0], math.log1p(margin), of_launches(ratios[1], excess=excess), TOTAL, excess)[2]


def rules(margin: float) -> tuple[Detector, ...]:
    """Ours, and what other tools do with the same samples."""
    return (
        Detector("polybench", lambda c, o: ours(c, o, margin) in ("better", "worse")),
        # asv 0.6, is_different of asv/statistics.py with the factor of `asv continuous`.
        Detector(
            "asv: p < 0.002 and medians 10 % apart", lambda c, o: _mann_whitney(c.base, o) < 0.002 and _apart(c, o)
        ),
        # pytest-benchmark 5, --benchmark-compare-fail=mean:10%, in either direction.
        Detector("pytest-benchmark: mean 10 % apart", lambda c, o: abs(_mean(o) / _mean(c.base) - 1) > 0.1),
        Detector("Mann-Whitney p < 0.05", lambda c, o: _mann_whitney(c.base, o) < 0.05),
    )


def least_power(run: Run) -> float:
    """Upper bound of the share of the most slowed cells that our rule finds; 1 when there is no such cell."""
    found = cells(run)
    most = max((c.slowdown for c in found), default=1.0)
    group = [c for c in found if c.slowdown == most]
    flags = rules(run.suite.margin)[0].flags
    return clopper_pearson(sum(flags(c, c.slowed) for c in group), len(group))[1]


def bound(run: Run) -> tuple[int, int, float, float]:
    """(false alarms, cells, lower and upper bound of their rate) of our rule."""
    found = cells(run)
    flags = rules(run.suite.margin)[0].flags
    alarms = sum(flags(c, c.equal) for c in found)
    return alarms, len(found), *clopper_pearson(alarms, len(found))


def conclusion(run: Run) -> tuple[bool, str]:
    """Whether verdicts are to be trusted on this machine, and the sentence that says why.

    They are not where more equal code is called different than the intervals promise, or slowed code is not found.
    """
    alarms, count, low, high = bound(run)
    reason = f"{alarms} false alarms in {count} cells: at most {high:.1%} of cells (95 % bound)"
    power = least_power(run)
    if power <= LEAST_POWER:
        return (
            False,
            f"{reason}, but times are so uneven that x1.10 was found in at most {power:.0%}: see polybench doctor",
        )
    if low > WORST_RATE:
        promise = f"and at least {low:.1%}, more than the intervals promise"
        return False, f"{reason}, {promise}: quiet the machine, see polybench doctor"
    return True, reason


def _mann_whitney(base: Launches, other: Launches) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(_pooled(base), _pooled(other)).pvalue)


def log_ratios(base: Launches, other: Launches) -> Launches:
    """Log-ratios block by block."""
    return [[math.log(y / x) for x, y in zip(b, o, strict=True)] for b, o in zip(base, other, strict=True)]


def _apart(cell: Cells, other: Launches) -> bool:
    ratio = statistics.median(_pooled(other)) / statistics.median(_pooled(cell.base))
    return max(ratio, 1 / ratio) > 1.1


def _mean(launches: Launches) -> float:
    return statistics.fmean(_pooled(launches))


def _pooled(launches: Launches) -> list[float]:
    return [value for launch in launches for value in launch]
