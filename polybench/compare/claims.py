"""Claims of a suite, or of whoever asks, judged within a run: supported, refuted, or not resolved.

A claim is a region: the changes that it allows. It is supported where the interval of what was measured lies in its
region, refuted where it lies outside, and either must survive Holm's correction over every cell of every claim that is
judged together. Of an order each pair of neighbours is a claim.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from polybench.compare.comparison import exp, of_losses
from polybench.compare.comparisons import Comparisons
from polybench.compare.derive import on_texts
from polybench.compare.evidence import Evidence, More, OfLaunches, OfSeeds, exact
from polybench.compare.grid import Grid, seed_differences
from polybench.compare.points import SHAKY, TIMELESS, Point, lost, matches, stopped, typical
from polybench.compare.region import Region, Sense
from polybench.compare.seeds import finite, look_of
from polybench.corrections import holm_of, resolves
from polybench.errors import NothingMeasured
from polybench.launches import beyond, margin_beside
from polybench.metric import Metric
from polybench.plan.labels import Labels
from polybench.plan.sentence import Sentence, Sign, sign_of
from polybench.plan.suite import Claim
from polybench.record import Status
from polybench.stats import Estimate

Ruling = Literal["supported", "refuted", "not resolved"]
SENSES: dict[Sign, Sense] = {"<": "less", ">": "more", "=": "same"}


@dataclass(frozen=True)
class Case:
    """One activation of a claim beside the other, in one cell.

    `change` is the first one's value over the other's or less the other's, `p` the p value after Holm (None of what is
    exact), `diverged` says which seeds were lost, so that there is no verdict, and `note` why else there may be none.
    """

    point: Point
    other: Point
    label: str
    metric: Metric
    region: Region
    evidence: Evidence | None = None
    diverged: str = ""
    note: str = ""
    ruling: Ruling = "not resolved"
    p: float | None = None
    more: More | None = None

    @property
    def value(self) -> float | None:
        return typical(self.point, self.metric)

    @property
    def against(self) -> float | None:
        return typical(self.other, self.metric)

    @property
    def change(self) -> Estimate | None:
        if self.evidence is None:
            return None
        change = self.evidence.change
        return change.map(exp) if self.metric.effect == "ratio" else change

    @property
    def broken(self) -> bool:
        """Whether a measurement failed that it needs; to diverge is an outcome."""
        records = (r for p in (self.point, self.other) for r in p.records)
        return any(r.status.broken and r.status is not Status.DIVERGED for r in records)

    @property
    def asks(self) -> Hashable:
        """What it asks: two cells that one training was carried out for ask once."""
        return self.metric.name, self.region, self.point.evidence, self.other.evidence


@dataclass(frozen=True)
class Judgement:
    """A claim with the cases it was judged in, the one that decides first; `text` says it in a line."""

    claim: Claim
    text: str
    cases: tuple[Case, ...]

    @property
    def ruling(self) -> Ruling:
        """Supported where every case is, refuted where one is."""
        rulings = {c.ruling for c in self.cases}
        if "refuted" in rulings:
            return "refuted"
        return "supported" if rulings == {"supported"} else "not resolved"

    @property
    def judged(self) -> bool:
        """Whether there was anything to judge."""
        return any(c.evidence or c.diverged for c in self.cases)


def judgements(comparisons: Comparisons, claims: Sequence[Claim] | None = None) -> list[Judgement]:
    """A verdict on each claim, by default those of the suite; all of them are one family."""
    asked = comparisons.run.suite.claims if claims is None else claims
    labels = Labels.of(r.trial for r in comparisons.run.records) if asked else Labels()
    weighed = [[_weighed(comparisons.grid, c) for c in _cases(comparisons, claim, labels)] for claim in asked]
    adjusted = holm_of({c.asks: p for cases in weighed for c in cases if (p := _p(c)) is not None})
    return [
        Judgement(claim, _text(comparisons, claim), tuple(sorted((_ruled(c, adjusted) for c in cases), key=decisive)))
        for claim, cases in zip(asked, weighed, strict=True)
    ]


def _text(comparisons: Comparisons, claim: Claim) -> str:
    return str(Sentence.of(claim, comparisons.metrics().get(claim.metric), comparisons.reference))


def _cases(comparisons: Comparisons, claim: Claim, labels: Labels) -> Iterator[Case]:
    """Every cell that the claim speaks of and that was measured of both activations, or was to be; of losses on
    several texts each of them."""
    for subject, other in claim.pairs(comparisons.reference):
        for point in comparisons.points():
            known = comparisons.run.metrics[point.cell.kind].get(claim.metric)
            twin = comparisons.grid.twin(point, other)
            about = point.cell.activation == subject and matches(point, claim.where)
            if known and known.claimable and twin and about:
                label = labels.of_cell(point.records[0].trial)
                for metric in on_texts(point.cell) if known.curve else (known,):
                    where = f"{label}, {metric.name}" if known.curve else label
                    yield Case(point, twin, where, metric, _region(comparisons.grid, claim, point.benchmark, metric))


def _region(grid: Grid, claim: Claim, benchmark: str, metric: Metric) -> Region:
    """By what the claim says, else by the least that matters: of times a ratio, of equal losses some nats.

    Where neither direction is better, nobody said what matters, so that more is more by however little.
    """
    matters = metric.better != "neither" or claim.relation == "same"
    if claim.by is not None:
        margin = math.log1p(claim.by) if metric.effect == "ratio" else claim.by
    elif metric.varies_with != "nothing" and metric.effect == "ratio" and matters:
        margin = math.log1p(grid.margin(benchmark))
    else:
        margin = grid.loss_margin(benchmark, metric) if claim.relation == "same" and of_losses(metric) else 0.0
    return Region(SENSES[sign_of(claim.relation, metric)], margin, margin)


def _weighed(grid: Grid, case: Case) -> Case:
    """With its evidence, or why there is none."""
    point, other, metric = case.point, case.other, case.metric
    value, reference = case.value, case.against
    gone = lost(point, other) if metric.varies_with == "seed" else ""
    trouble = next((f"{p.cell.activation} {t}" for p in (point, other) if (t := p.trouble())), "")
    differences = seed_differences(point, other, metric) if metric.varies_with == "seed" else {}
    told = OfSeeds(differences, look_of(differences, grid.looks(point.benchmark)))
    known = bool(differences) and finite(differences)
    if gone:
        return replace(case, evidence=told if known else None, diverged=gone, note=trouble)
    if value is None or reference is None:
        return replace(case, note=trouble or f"there is no {metric.name}")
    case = replace(case, note=trouble)
    if metric.varies_with == "nothing":
        return replace(case, evidence=exact(metric, value, reference))
    if metric.varies_with == "sample":
        return _of_times(grid, case)
    endless = sum(not math.isfinite(value) for value in differences.values())
    why = f"{metric.name} is not finite with {endless} of {len(differences)} seeds"
    why = why if differences else "no seed of both was on the same data"
    return replace(case, evidence=told) if known else replace(case, note=trouble or why)


def _of_times(grid: Grid, case: Case) -> Case:
    """Against a margin that what equal code showed can raise; where that is more than matters, there is no verdict."""
    point, other, name = case.point, case.other, case.metric.name
    launches = grid.ratios(point, other, name)
    if not launches:
        timeless = stopped(point, name) or stopped(other, name)
        return replace(case, note=case.note or (TIMELESS if timeless else "no launch measured both"))
    margin, noise = case.region.margin, grid.noise(point, name)
    evidence = OfLaunches(launches, grid.excess(other, name), grid.seconds(point))
    if not noise:
        return replace(case, evidence=evidence)
    matters = max(margin, math.log1p(grid.margin(point.benchmark)))
    shaky = beyond(noise, matters)
    region = replace(case.region, raised=margin_beside(margin, noise.value))
    return replace(case, evidence=evidence, region=region, note=SHAKY if shaky else case.note)


def _p(case: Case) -> float | None:
    """Before correction; what lost seeds is counted as tested and shows nothing."""
    if case.diverged:
        return 1.0
    return case.evidence.p(case.region) if case.evidence else None


def _ruled(case: Case, adjusted: dict[Hashable, float]) -> Case:
    """What the interval says, if the correction leaves it standing; where something went wrong nothing is supported."""
    p = adjusted.get(case.asks)
    case = replace(case, p=p)
    if case.evidence is None or case.diverged or case.note == SHAKY:
        return case
    holds = case.evidence.holds(case.region)
    if holds is None or not (p is None or resolves(p)):
        return replace(case, more=case.evidence.more(case.region, max(1, len(adjusted))))
    if holds and case.note:
        return case
    return replace(case, ruling="supported" if holds else "refuted")


def decisive(case: Case) -> tuple[int, float]:
    """Sorts first what is refuted, the surest first, then what diverged, then the open, then the supported, the least
    sure first."""
    p = case.p or 0.0
    if case.diverged:
        return 1, p
    return {"refuted": (0, p), "not resolved": (2, -p), "supported": (3, -p)}[case.ruling]


def outcome(found: Sequence[Judgement]) -> tuple[int, str]:
    """Exit code and reason (precedence 5, 3, 1, 4, 0). Raises NothingMeasured where nothing could be judged."""

    def those(ruling: Ruling) -> list[Judgement]:
        return [one for one in found if one.ruling == ruling]

    total = f"{len(found)} claim{'s' * (len(found) > 1)}"
    if not any(one.judged for one in found):
        notes = (case.note for one in found for case in one.cases if case.note)
        why = next(notes, "no cell of both activations, where the claim looks, was measured")
        if not any(case.broken for one in found for case in one.cases):
            raise NothingMeasured(f"judge found nothing to judge {found[0].text!r} by: {why}")
    if broken := [one for one in found if any(case.broken for case in one.cases)]:
        case = next(case for case in broken[0].cases if case.broken)
        return 3, f"judge broken: trials of {len(broken)} of {total} failed, first {case.label}: {case.note}"
    if bad := those("refuted"):
        return 1, f"judge refuted {len(bad)} of {total}, first {bad[0].text}"
    if open_ := those("not resolved"):
        first = open_[0]
        more = f"; this would settle it: {m.words}" if first.cases and (m := first.cases[0].more) else ""
        return 4, f"judge cannot decide {len(open_)} of {total}, first {first.text}{more}"
    return 0, f"judge supported {total}"
