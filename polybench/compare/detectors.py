"""Ways to decide whether a copy's times differ from the first's: ours, and those of other tools."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from polybench.compare.comparison import judge_times
from polybench.launches import PILOT, Rules, used
from polybench.measure.speed_metrics import TOTAL
from polybench.stats import of_launches
from polybench.trial import Cell

Launches = Sequence[Sequence[float]]  # seconds, block by block, a list a launch
EQUAL = 1.0  # the factor of the copy that is not slowed
_MARGINS = (0.03, 0.10)  # that rules are asked for: ours by default, and what the others are documented with


@dataclass(frozen=True)
class Copies:
    """Times of one cell's copies: the first, the one that raises margins, and others by the factor they are slowed.

    `seconds` are those of each launch, from start to end.
    """

    cell: Cell
    base: Launches
    control: Launches
    others: Mapping[float, Launches]
    seconds: Sequence[float]


@dataclass(frozen=True)
class Ruling:
    """What a rule says of a copy, and after how many launches it had no need of more."""

    outcome: str  # faster, slower, same, inconclusive or unstable
    launches: int

    @property
    def flags(self) -> bool:
        """Whether the copy is said to differ."""
        return self.outcome in ("faster", "slower")


@dataclass(frozen=True)
class Detector:
    """A rule by its name; `rule(copies, other)` holds another copy against the first."""

    name: str
    rule: Callable[[Copies, Launches], Ruling]


_OUTCOMES = {"better": "faster", "worse": "slower", "unresolved": "inconclusive"}


def ours(copies: Copies, other: Launches, margin: float) -> Ruling:
    """The verdict of polybench on as many of the launches as it would have taken."""
    mine, control = log_ratios(copies.base, other), log_ratios(copies.base, copies.control)
    rules = Rules(min(PILOT, len(mine)), len(mine), margin)
    (count,) = used({EQUAL: mine}, control, rules).values()
    equal = of_launches(control[:count])
    outcome = judge_times(mine[:count], math.log1p(margin), equal, TOTAL, None)[2]
    return Ruling(_OUTCOMES.get(outcome, outcome), count)


def log_ratios(base: Launches, other: Launches) -> list[list[float]]:
    """Block by block."""
    return [[math.log(y / x) for x, y in zip(b, o, strict=True)] for b, o in zip(base, other, strict=True)]


def _asv(copies: Copies, other: Launches, margin: float) -> Ruling:
    """asv 0.6: is_different of asv/statistics.py with the factor of `asv continuous`, either way."""
    ratio = statistics.median(_pooled(other)) / statistics.median(_pooled(copies.base))
    apart = max(ratio, 1 / ratio) > 1 + margin
    return _all(copies, other, apart and _p(copies.base, other) < 0.002)


def _pytest_benchmark(copies: Copies, other: Launches, margin: float) -> Ruling:
    """pytest-benchmark 5, --benchmark-compare-fail=mean:N%, either way."""
    ratio = statistics.fmean(_pooled(other)) / statistics.fmean(_pooled(copies.base))
    return _all(copies, other, abs(ratio - 1) > margin)


def _mann_whitney(copies: Copies, other: Launches) -> Ruling:
    return _all(copies, other, _p(copies.base, other) < 0.05)


def _all(copies: Copies, other: Launches, differs: bool) -> Ruling:
    """Of a rule that has no use for equality and takes all that was measured."""
    longer = statistics.median(_pooled(other)) > statistics.median(_pooled(copies.base))
    return Ruling(("slower" if longer else "faster") if differs else "inconclusive", len(copies.base))


def _p(base: Launches, other: Launches) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(_pooled(base), _pooled(other)).pvalue)


def _pooled(launches: Launches) -> list[float]:
    return [value for launch in launches for value in launch]


DETECTORS = (
    *(
        Detector(f"{name} {margin:.0%}{more}", partial(rule, margin=margin))
        for margin in _MARGINS
        for name, rule, more in (
            ("polybench, margin", ours, ""),
            ("asv, p < 0.002 and medians", _asv, " apart"),
            ("pytest-benchmark, means", _pytest_benchmark, " apart"),
        )
    ),
    Detector("Mann-Whitney, p < 0.05", _mann_whitney),
)
OURS = DETECTORS[0].name  # at the margin that suites have by default
