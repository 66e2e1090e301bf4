"""The answer first: which activation wins at equal tokens, at equal time and at least memory."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from polybench.compare.comparison import Comparison, across, of_losses
from polybench.compare.grid import Point, matches, points, typical
from polybench.document import Finding
from polybench.metric import Metric, scale_for
from polybench.plan.tuning import WORDS
from polybench.report.wording import field_of, show
from polybench.run.store import Run
from polybench.stats import ALPHA, holm
from polybench.trial import Cell

_FEW_CELLS = 2  # a benchmark with no more than these keeps its sentences beside a larger one
_MOST_SENTENCES = 4  # a question with more groups than this is answered by counting


@dataclass(frozen=True)
class Question:
    """What is asked, of which metric, and how its lowest or highest value is called."""

    text: str
    metric: str
    superlative: str


QUESTIONS = (
    Question("At equal tokens", "val_loss", "the lowest held-out loss"),
    Question("At equal time", "equal_time_loss", "the lowest held-out loss"),
    Question("At equal FLOPs", "equal_flops_loss", "the lowest held-out loss"),
    Question("In training loss", "final_train_loss", "the lowest training loss"),
    Question("In training speed", "tokens_per_s", "the most tokens a second"),
    Question("In memory of a training step", "step_peak_bytes", "the lowest peak"),
    Question("In memory kept for backward", "saved_bytes", "the fewest bytes"),
    Question("In time of forward and backward", "total_time", "the shortest time"),
)


def findings(run: Run) -> tuple[Finding, ...]:
    """A sentence for each question the run can answer, then one for each claim of the suite.

    Questions are answered for the first backend of a benchmark; the tables have them all.
    """

    @cache
    def comparisons(name: str, metric: str) -> dict[Point, Comparison]:
        return {c.point: c for c in across(run, name, metric)}

    found: list[Finding] = []
    for question in QUESTIONS:
        found += _answers(run, question, comparisons)
    return (*found, *_claims(run, comparisons))


Winner = tuple[list[Point], Point, list[Comparison]]  # a cell's points, the best, and whom it cannot be told from
Comparisons = Callable[[str, str], dict[Point, Comparison]]


def _answers(run: Run, question: Question, comparisons: Comparisons) -> list[Finding]:
    groups: dict[tuple[str, Cell], list[Point]] = defaultdict(list)
    plain = {b["name"]: b["backends"][0] for b in run.suite["benchmarks"]}
    for point in points(run):
        if point.values(question.metric) and point.cell.backend == plain.get(point.benchmark):
            groups[point.benchmark, point.cell.place].append(point)
    contested = [group for group in groups.values() if len(group) > 1]
    metric = next((m for ms in run.metrics.values() for m in ms.values() if m.name == question.metric), None)
    if metric is None or not contested:
        return []
    winners = [(group, *_winner(group, metric, comparisons)) for group in contested]
    told, counted = _told_and_counted(winners)
    places = _places([group for group, _, _ in told])
    sentences = [
        _sentence(question, metric, place, best, rivals, group)
        for place, (group, best, rivals) in zip(places, told, strict=True)
    ]
    return [*sentences, *([_count(question, counted)] if counted else [])]


def _told_and_counted(winners: Sequence[Winner]) -> tuple[list[Winner], list[Winner]]:
    """Cells with a sentence each, and those that are too many for it: then small benchmarks are told before large."""
    if len(winners) <= _MOST_SENTENCES:
        return list(winners), []
    sizes = Counter(group[0].benchmark for group, _, _ in winners)
    told = [w for w in winners if sizes[w[0][0].benchmark] <= _FEW_CELLS]
    told = told if len(told) <= _MOST_SENTENCES else []
    return told, [w for w in winners if w not in told]


def _count(question: Question, winners: Sequence[Winner]) -> Finding:
    wins = Counter(best.cell.activation for _, best, rivals in winners if not rivals)
    open_ = sum(bool(rivals) for _, _, rivals in winners)
    parts = [f"{name} has {question.superlative} in {n}" for name, n in wins.most_common()]
    names = list(dict.fromkeys(group[0].benchmark for group, _, _ in winners))
    of = f" of {_and(names)}" if len(names) < 3 else ""
    text = f"Of {len(winners)} cells{of}: {', '.join([*parts, f'not resolved in {open_}'] if open_ else parts)}."
    return Finding(question.text, text, open_ == 0)


def _winner(group: Sequence[Point], metric: Metric, comparisons: Comparisons) -> tuple[Point, list[Comparison]]:
    """The best point, and the comparisons with those it cannot be told from."""
    sign = -1 if metric.better == "higher" else 1
    # A mean over the seeds that survived flatters who lost some, so that one cannot win; a count is what it is.
    exact = metric.varies_with == "nothing"
    sound = [p for p in group if exact or not p.trouble()] or group
    best = min(sound, key=lambda p: sign * (typical(p, metric) or 0.0))
    others = [c for p in group if p is not best and (c := comparisons(best.cell.activation, metric.name).get(p))]
    # Who is best was seen first, so of losses every pair of the cell counts as tested.
    pairs = others
    if of_losses(metric):
        rest = [p for p in group if p is not best]
        found = (comparisons(a.cell.activation, metric.name).get(b) for i, a in enumerate(rest) for b in rest[i + 1 :])
        pairs = [*others, *(c for c in found if c)]
    tested = [c for c in pairs if c.p is not None]
    adjusted = dict(zip((id(c) for c in tested), holm([c.p or 0.0 for c in tested]), strict=True))
    doubtful = bool(best.trouble()) and not exact
    rivals = [c for c in others if doubtful or c.outcome != "worse" or adjusted.get(id(c), 0.0) > ALPHA]
    return best, rivals


def _sentence(
    question: Question, metric: Metric, place: str, best: Point, rivals: Sequence[Comparison], group: Sequence[Point]
) -> Finding:
    value = typical(best, metric) or 0.0
    unit = scale_for(metric.unit, [value])
    shown = f"{unit.show(value)} {unit.unit}".strip()
    where = f" ({place})" if place else ""
    name = best.cell.activation
    lost = "; ".join(f"{p.cell.activation} {p.trouble()}" for p in group if p.trouble())
    lost = f" Not every seed ended well: {lost}." if lost else ""
    if not rivals:
        rest = "the other" if len(group) == 2 else f"all {len(group) - 1} others"
        text = f"{name} has {question.superlative}{where}, {shown}, and is ahead of {rest}.{lost}"
        return Finding(question.text, text, True)
    if all(c.metric.varies_with == "nothing" for c in rivals):
        names = _and([name, *(c.cell.activation for c in rivals)])
        return Finding(question.text, f"{names} share {question.superlative}{where}, {shown}.", True)
    told = ", ".join(
        c.cell.activation + (f" {show(c.change, metric.effect == 'difference')}" if c.change else "") for c in rivals
    )
    how = "as a ratio to it" if metric.effect == "ratio" else f"in {metric.unit} against it"
    how += ", Holm over all pairs" if of_losses(metric) and len(group) > 2 else ""
    equal = all(c.outcome == "same" for c in rivals)
    relation = "within the margin of" if equal else "not resolved from"
    text = f"{name} has {question.superlative} seen{where}, {shown}, but is {relation} {told} ({how}).{lost}"
    return Finding(question.text, text, False)


def _claims(run: Run, comparisons: Comparisons) -> list[Finding]:
    """Each claim is judged in every cell it names; p values of all claims are corrected together."""
    judged: list[tuple[dict[str, object], list[Comparison]]] = []
    for claim in run.suite.get("claims", []):
        found = [
            c
            for point, c in comparisons(claim["better_than"], claim["metric"]).items()
            if point.cell.activation == claim["subject"] and matches(point, claim["where"])
        ]
        judged.append((claim, found))
    tested = [c for _, found in judged for c in found if c.p is not None]
    adjusted = dict(zip((id(c) for c in tested), holm([c.p or 0.0 for c in tested]), strict=True))
    results = []
    for claim, found in judged:
        head = f"{claim['subject']} has a better {claim['metric']} than {claim['better_than']}"
        if not found or all(c.change is None for c in found):
            results.append(Finding("Claim", f"{head}: not judged, this run has no such comparison.", False))
            continue
        lost = "; ".join(f"{c.cell.activation} {c.point.trouble()}" for c in found if c.point.trouble())
        good = [c for c in found if not lost and c.outcome == "better" and adjusted.get(id(c), 0.0) <= ALPHA]
        bad = [c for c in found if c.outcome == "worse" and adjusted.get(id(c), 0.0) <= ALPHA]
        verdict = "shown" if len(good) == len(found) else "contradicted" if bad else "not resolved"
        first = next(c for c in found if c.change)
        assert first.change
        numbers = show(first.change, first.metric.effect == "difference")
        p = f", Holm p {adjusted[id(first)]:.2g}" if id(first) in adjusted else ""
        n = f", n {first.change.n}" if first.metric.varies_with != "nothing" else ""
        results.append(
            Finding(
                "Claim", f"{head}: {verdict} ({numbers}{p}{n}{'; ' + lost if lost else ''}).", verdict != "not resolved"
            )
        )
    return results


def _places(groups: Sequence[Sequence[Point]]) -> list[str]:
    """What tells the groups apart, for the reader of several sentences: the benchmark, and what varies in it."""
    cells = [(group[0].benchmark, group[0].cell) for group in groups]
    several = len({name for name, _ in cells}) > 1
    axes = dict.fromkeys(["backend", "dtype", *(a for _, c in cells for a, _ in c.axes)])
    places = []
    for name, cell in cells:
        beside = [c for other, c in cells if other == name]
        told = [a for a in axes if len({field_of(c, a) for c in beside}) > 1]
        places.append(", ".join([*([name] if several else []), *(_place(a, field_of(cell, a)) for a in told)]))
    return places


def _place(field: str, value: str) -> str:
    if field == "lr" and value in WORDS:
        return WORDS[value]
    return value if field in ("benchmark", "level", "backend", "dtype", "corpus") else f"{field} {value}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
