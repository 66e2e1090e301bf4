"""The claims of a suite, each a sentence: supported, refuted or not resolved, with what it rests on."""

from __future__ import annotations

import math
from dataclasses import replace

from polybench.compare.claims import Case, Judgement, judgements
from polybench.compare.comparisons import Comparisons
from polybench.compare.evidence import OfLaunches
from polybench.corrections import resolves
from polybench.document import Finding
from polybench.plan.sentence import Sentence
from polybench.plan.suite import Claim
from polybench.report.section import Section
from polybench.report.wording import MINUS, show


def section(comparisons: Comparisons) -> Section:
    """A sentence for each claim of the suite."""
    return Section(findings=tuple(finding(one, comparisons.reference) for one in judgements(comparisons)))


def finding(one: Judgement, reference: str) -> Finding:
    """What was claimed, the verdict, and the case that decided it."""
    head = _claimed(one, reference)
    if not one.judged:
        why = next((c.note for c in one.cases if c.note), "this run has no such comparison")
        return Finding("Claim", f"{head}: not judged, {why}.{_elsewhere(one)}", False)
    verdict = one.cases[0].diverged or one.ruling
    resolved = one.ruling != "not resolved"
    return Finding("Claim", f"{head}: {verdict} ({_grounds(one)}).{_remedy(one)}{_elsewhere(one)}", resolved)


def grounds(case: Case) -> str:
    """The change with its interval, the p value, and how many seeds or launches there were."""
    change, p = case.change, case.p
    parts = [show(change, case.metric.effect == "difference")] if change else []
    if p is not None and not (case.note or case.diverged):
        # Where its p resolves it, its interval does not, which of times is the stricter one.
        hidden = case.ruling == "not resolved" and resolves(p)
        parts.append("the interval holds the margin" if hidden else f"Holm p {p:.2g}")
    if isinstance(case.evidence, OfLaunches):
        parts.append(f"{len(case.evidence.launches)} launch{'es' * (len(case.evidence.launches) > 1)}")
    elif change and case.metric.varies_with != "nothing":
        parts.append(f"n {change.n}")
    return ", ".join(parts)


def said_of(claim: Claim, case: Case | None, reference: str) -> Sentence:
    """The sentence of a claim, with the margin that it was judged by where it names none."""
    said = Sentence.of(claim, case.metric if case else None, reference)
    if case is None or claim.by is not None or not case.region.margin:
        return said
    ratio = case.metric.effect == "ratio"
    return replace(said, by=f"{math.expm1(case.region.margin) * 100:.3g}%" if ratio else f"{case.region.margin:.3g}")


def _claimed(one: Judgement, reference: str) -> str:
    claim, cases = one.claim, one.cases
    metric = cases[0].metric if cases else None
    said = said_of(claim, cases[0] if cases else None, reference)
    unit = f" {metric.unit}" if metric and metric.effect == "difference" else ""
    where = f" ({said.conditions})" if said.where else ""
    if claim.order is not None:
        by = f", each by at least {said.by}{unit}" if said.by else ""
        return f"{', '.join(claim.order)} is the order of {claim.metric}, the best first{by}{where}"
    ((subject, other),) = claim.pairs(reference)
    if claim.relation == "same":
        by = f" within {said.by}{unit}" if said.by else ""
        return f"{subject} has the same {claim.metric} as {other}{by}{where}"
    by = f" by at least {said.by}{unit}" if said.by else ""
    how = {"more": "higher", "less": "lower"}.get(claim.relation, claim.relation)
    return f"{subject} has a {how} {claim.metric} than {other}{by}{where}"


def _grounds(one: Judgement) -> str:
    several, first = len(one.cases) > 1, one.cases[0]
    pair = one.claim.order is not None and len(one.claim.order) > 2
    which = f"{first.point.cell.activation} beside {first.other.cell.activation} " if pair else ""
    which += f"{first.metric.name} " if first.metric.name != one.claim.metric else ""
    count = sum(c.ruling == "supported" for c in one.cases)
    share = f"supported in {count} of {len(one.cases)} {'pairs' if pair else 'cells'}" if several else ""
    troubles = dict.fromkeys(c.note for c in one.cases if c.note)
    return "; ".join(filter(None, [", ".join(filter(None, [which + grounds(first), share])), *troubles]))


def _remedy(one: Judgement) -> str:
    more = one.cases[0].more
    return f" This would settle it: {more.words}." if more and one.ruling == "not resolved" else ""


def _elsewhere(one: Judgement) -> str:
    """Where it was claimed, and what was reported there."""
    reported, source = one.claim.reported, one.claim.source
    if isinstance(reported, float):
        reported = f"{reported:.6g}".replace("-", MINUS)  # with the digits that were published, and no more
    if reported is None:
        return f" Claimed in {source}." if source else ""
    return f" Reported: {reported}{f' ({source})' if source else ''}."
