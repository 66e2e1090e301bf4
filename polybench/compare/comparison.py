"""Inside one run: one activation beside another, by the statistic that its metric asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from polybench.compare.grid import Grid, seed_differences
from polybench.compare.points import SHAKY, TIMELESS, OfPoint, Point, lost, stopped, typical
from polybench.compare.region import side
from polybench.compare.seeds import Looks, finite, told
from polybench.launches import beyond, margin_beside
from polybench.medians import Launches
from polybench.metric import Metric
from polybench.stats import Estimate, of_launches, p_beyond, paired
from polybench.stopping import more_launches

Outcome = Literal["better", "worse", "same", "unresolved", "unstable", "diverged", "none"]


@dataclass(frozen=True)
class Comparison(OfPoint):
    """One cell and metric beside another activation's: typical values and their ratio or difference.

    `change` is value / against (ratio) or value - against (difference); None where there is nothing
    to compare. `outcome` has the metric's good direction applied already, `alone` is what it was before any
    correction. `p` is that of no difference beyond the margin, `q` the same corrected for all it is compared
    with: of losses by Holm over the activations of the cell, else by Benjamini-Hochberg over the column of
    its table. `same_p` and `same_q` are those of a difference of losses beyond their margin. `settle` says
    what would decide an unresolved one, `diverged` which seeds were lost, so that there is no verdict.
    """

    point: Point
    metric: Metric
    against: str
    value: float | None
    reference: float | None
    change: Estimate | None
    outcome: Outcome
    p: float | None = None
    note: str = ""
    q: float | None = None
    settle: str = ""
    same_p: float | None = None
    same_q: float | None = None
    diverged: str = ""
    alone: Outcome = "none"


def standing(c: Comparison) -> float:
    """What says who is first of a place: of times the ratio to the reference, else the value.

    An activation that was settled early was timed in fewer launches than others, so medians need not be of like ones.
    """
    value = c.value or 0.0
    if c.metric.varies_with != "sample" or not c.reference:
        return value
    return c.change.value if c.change else value / c.reference


def of_losses(metric: Metric) -> bool:
    """Whether it is compared by differences that are paired by seed."""
    return metric.varies_with == "seed" and metric.effect == "difference"


def compare(grid: Grid, point: Point, other: Point | None, metric: Metric, against: str) -> Comparison:
    """A cell beside its twin `other` of the activation `against`, before any correction for what else is compared."""
    value, reference = typical(point, metric), typical(other, metric) if other else None
    margin = grid.margin(point.benchmark)
    blank = Comparison(point, metric, against, value, reference, None, "none", note=point.trouble())
    if other is None or point.cell == other.cell or (value is None and reference is None):
        return blank
    if (gone := lost(point, other)) and metric.varies_with == "seed" and metric.better != "neither":
        # Those that are left chose themselves, so they are shown and not judged, and count as tested.
        shown = _of_seeds(blank, seed_differences(point, other, metric), grid)
        return replace(shown, outcome="diverged", diverged=gone, p=1.0, same_p=None, settle="")
    if value is None or reference is None:
        return blank
    if metric.varies_with == "nothing":
        return _exact(blank)
    if metric.varies_with == "sample":
        launches = grid.ratios(point, other, metric.name)
        if not launches:
            timeless = stopped(point, metric.name) or stopped(other, metric.name)
            return replace(blank, note=blank.note or TIMELESS) if timeless else blank
        noise, excess = grid.noise(point, metric.name), grid.excess(other, metric.name)
        return _of_times(blank, launches, math.log1p(margin), noise, excess, grid.seconds(point))
    return _of_seeds(blank, seed_differences(point, other, metric), grid)


def _of_times(
    blank: Comparison,
    launches: Launches,
    least: float,
    noise: Estimate | None,
    excess: float | None,
    seconds: float,
) -> Comparison:
    """Log-ratios of blocks against a margin that what equal code showed can raise; a launch took so many seconds."""
    metric = blank.metric
    log_ratio, limit, outcome = judge_times(launches, least, noise, metric, excess)
    shown = replace(blank, change=log_ratio.map(exp), outcome=outcome)
    if metric.better == "neither":
        return shown
    if outcome == "unstable":
        return replace(shown, note=SHAKY)
    if len(launches) < 2:
        return replace(shown, settle="more launches, since one does not say how launches differ")
    p = p_beyond(lambda confidence: of_launches(launches, confidence, excess), limit)
    if outcome == "unresolved":
        hidden = abs(log_ratio.value) < limit and limit > least * 1.001
        below = f"what is below {exp(limit) - 1:.1%}" if limit < math.log(10) else "any difference that matters"
        told = f"more launches or a quieter machine, since the A/A copy hides {below}"
        return replace(shown, p=p, settle=told if hidden else _more(launches, limit, seconds))
    return replace(shown, p=p)


def judge_times(
    launches: Sequence[Sequence[float]], least: float, noise: Estimate | None, metric: Metric, excess: float | None
) -> tuple[Estimate, float, Outcome]:
    """The log-ratio, the margin it was held against, and the verdict, before correction for many cells.

    What equal code showed is no difference: the margin covers twice its offset. (Not its interval too, for the
    comparison's own holds that noise already.) Where equal code differs by more than the margin, there is no verdict,
    nor is there of one launch, which does not say how launches differ.
    """
    limit = margin_beside(least, noise.value) if noise else least
    log_ratio = of_launches(launches, excess=excess)
    if sum(map(bool, launches)) < 2:
        return log_ratio, limit, "none" if metric.better == "neither" else "unresolved"
    if noise and metric.better != "neither" and beyond(noise, least):
        return log_ratio, limit, "unstable"
    return log_ratio, limit, decide(log_ratio, limit, metric, same=least)


def _more(launches: Launches, limit: float, seconds: float) -> str:
    more = more_launches(launches, limit)
    if more is None:
        return "no number of launches worth measuring, since the ratio lies at the margin"
    return f"about {more} more launch{'es' if more > 1 else ''}, {round(more * seconds) or 1} s"


def _of_seeds(blank: Comparison, by_seed: Mapping[int, float], grid: Grid) -> Comparison:
    """Paired differences or log-ratios; what would settle a difference must pass the strictest step of Holm."""
    metric, point, differences = blank.metric, blank.point, list(by_seed.values())
    if not differences:
        return blank
    if not finite(by_seed):
        missed = sum(not math.isfinite(v) for v in point.values(metric.name))
        if all(map(math.isfinite, (blank.value or 0.0, blank.reference or 0.0))):  # means, so all of both are
            return replace(blank, outcome=_beside_nothing(differences, metric))
        note = f"{metric.name} not reached by {missed} of {len(point.values(metric.name))} seeds"
        return replace(blank, outcome="unresolved", note=note)
    if metric.effect == "ratio":
        return _of_rates(blank, differences, math.log1p(grid.margin(point.benchmark)))
    return of_losses_by_seed(
        blank, by_seed, grid.looks(point.benchmark), grid.loss_margin(point.benchmark, metric), grid.rivals(point)
    )


def of_losses_by_seed(
    blank: Comparison, by_seed: Mapping[int, float], looks: Looks, margin: float, tests: int
) -> Comparison:
    """Differences, of so many that are tested together; those of every look before count."""
    found = told(by_seed, looks, margin, tests)
    outcome = decide(found.change, 0.0, blank.metric)
    shown = replace(blank, change=found.change, outcome=outcome, settle=found.settle)
    if not found.change.known:
        return shown
    return replace(shown, p=found.p, same_p=found.same_p if margin and blank.metric.better != "neither" else None)


def _of_rates(blank: Comparison, log_ratios: list[float], limit: float) -> Comparison:
    """Of what is compared by ratio, tokens a second among them, against the margin of times."""
    estimate = paired(log_ratios)
    outcome = decide(estimate, limit, blank.metric)
    shown = replace(blank, change=estimate.map(exp), outcome=outcome)
    if not estimate.known:
        return replace(shown, settle="2 more seeds at least")
    tested = blank.metric.better != "neither"
    return replace(shown, p=p_beyond(lambda confidence: paired(log_ratios, confidence), limit) if tested else None)


def decide(change: Estimate, margin: float, metric: Metric, same: float | None = None) -> Outcome:
    """Better or worse when the interval lies beyond the margin, same when it lies within, else unresolved.

    `same` is the margin for equality where noise has raised the other: noise hides, it shows nothing.
    `change` is a log-ratio or a difference. A metric without a good direction is never judged.
    """
    if metric.better == "neither" or not change.known:
        return "none" if metric.better == "neither" else "unresolved"
    equal = margin if same is None else same
    sides = side(change.low, change.high, equal, margin), side(-change.high, -change.low, equal, margin)
    if "beyond" in sides:
        return "better" if metric.improves(change.value) else "worse"
    return "same" if equal and sides == ("within", "within") else "unresolved"


def _beside_nothing(differences: Sequence[float], metric: Metric) -> Outcome:
    """Where a value of exactly 0 leaves no ratio: better or worse only if it is so with every seed."""
    if metric.better == "neither":
        return "none"
    if all(map(metric.improves, differences)):
        return "better"
    return "worse" if all(map(metric.improves, (-d for d in differences))) else "unresolved"


def _exact(blank: Comparison) -> Comparison:
    assert blank.value is not None and blank.reference is not None
    outcome: Outcome = "same"
    if blank.value != blank.reference and blank.metric.better != "neither":
        outcome = "better" if blank.metric.improves(blank.value - blank.reference) else "worse"
    elif blank.metric.better == "neither":
        outcome = "none"
    if blank.metric.effect == "difference":
        apart = blank.value - blank.reference
        return replace(blank, change=Estimate(apart, apart, apart, 1), outcome=outcome)
    if blank.reference == 0:  # there is no ratio to nothing
        return replace(blank, outcome=outcome)
    ratio = blank.value / blank.reference
    return replace(blank, change=Estimate(ratio, ratio, ratio, 1), outcome=outcome)


def exp(x: float) -> float:
    """e^x, infinite where it would overflow."""
    return math.exp(x) if x < 700 else math.inf
