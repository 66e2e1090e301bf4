"""What a planned comparison of losses can be expected to tell apart, by the spread of an earlier run of its cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from polybench.compare.grid import seed_differences
from polybench.compare.points import Point, by_place, compared, points
from polybench.errors import ResultsError
from polybench.kind import registered
from polybench.looks import share
from polybench.metric import Metric
from polybench.plan.suite import Suite
from polybench.plan.tuning import TUNING
from polybench.run.store import ROOT, Run, find, load
from polybench.stats import ALPHA, t_power
from polybench.stopping import POWER
from polybench.trial import Cell, Trial

_MOST = 1e3  # standard errors: no test of two pairs or more needs so many


@dataclass(frozen=True)
class Expected:
    """The least difference of a metric, in its unit, that a benchmark finds with a probability of `POWER`.

    Between an activation and the reference, paired over `seeds`, at the strictest step of Holm over `rivals`
    activations; the spread is that of the run in `source`.
    """

    benchmark: str
    metric: Metric
    difference: float
    seeds: int
    rivals: int
    source: Path


def expected(trials: Sequence[Trial], suite: Suite, root: Path = ROOT) -> Iterator[Expected]:
    """One for each planned benchmark with a loss and two seeds or more, where an earlier run tells the spread."""
    planned: dict[str, list[Trial]] = {}
    kinds = {kind for kind in {t.cell.kind for t in trials} if _loss(kind)}
    for trial in trials:
        if not trial.benchmark.endswith(TUNING) and trial.cell.kind in kinds:
            planned.setdefault(trial.benchmark, []).append(trial)
    runs = list(_earlier(suite.suite, root)) if planned else []
    for benchmark, members in planned.items():
        metric, seeds = _loss(members[0].cell.kind), len({t.seed for t in members})
        rivals = len({t.cell.activation for t in members} - {suite.reference})
        if metric and seeds > 1 and rivals:
            cells = {t.cell for t in members}
            spreads = ((run, spread) for run in runs if (spread := _spread(run, cells, suite.reference, metric)))
            for run, spread in list(spreads)[:1]:
                yield Expected(benchmark, metric, least_found(spread, seeds, rivals), seeds, rivals, run.path)


def least_found(spread: float, pairs: int, questions: int) -> float:
    """The mean of so many paired differences of this sd that a first look finds, at `ALPHA` over the questions.

    With a probability of `POWER`, by the noncentral t distribution.
    """
    confidence = 1 - ALPHA * share(1) / questions
    low, high = 0.0, _MOST
    while high - low > 1e-4 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if t_power(pairs - 1, middle, confidence) > POWER else (middle, high)
    return high * spread / math.sqrt(pairs)


def _loss(kind: str) -> Metric | None:
    known = registered(kind)
    return next((m for m in known.metrics if m.by_seed and m.effect == "difference"), None) if known else None


def _earlier(suite: str, root: Path) -> Iterator[Run]:
    """The latest run of the suite, then the published one; what is not there or damaged tells nothing."""
    for name in (suite, str(root / "published" / suite)):
        try:
            yield load(find(name, root))
        except ResultsError:
            continue


def _spread(run: Run, cells: set[Cell], reference: str, metric: Metric) -> float | None:
    """sd of the paired differences from the reference, pooled over activations and places; None of single pairs."""
    squares, degrees = 0.0, 0
    there: Iterable[Point] = (p for p in points(compared(run)) if p.cell in cells and not p.control)
    for members in by_place(there).values():
        base = next((p for p in members if p.cell.activation == reference), None)
        for point in members:
            differences = list(seed_differences(point, base, metric).values()) if base and point != base else []
            if len(differences) > 1 and all(map(math.isfinite, differences)):
                squares += statistics.variance(differences) * (len(differences) - 1)
                degrees += len(differences) - 1
    return math.sqrt(squares / degrees) if squares else None
