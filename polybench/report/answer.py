"""The answer first: which activation wins at equal tokens, at equal time and at least memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from polybench.compare.comparison import Comparison, Outcome, of_losses, standing
from polybench.compare.comparisons import Comparisons
from polybench.compare.derive import reading
from polybench.compare.points import Group, Point, by_place, by_trainings, typical
from polybench.corrections import holm_of, resolves
from polybench.document import ABSENT, Finding
from polybench.measure.kinds.pretrain import THROUGHPUT
from polybench.metric import Metric, Question, scale_for
from polybench.plan.tuning import WORDS
from polybench.report import transient
from polybench.report.section import Section
from polybench.report.wording import field_of, show

_FEW_CELLS = 2  # a benchmark with no more than these keeps its sentences beside a larger one
_MOST_SENTENCES = 4  # a question with more groups than this is answered by counting

Winner = tuple[list[Point], Point, list[Comparison]]  # a cell's points, the best, and whom it cannot be told from


def section(comparisons: Comparisons) -> Section:
    """A sentence for each question the run can answer, and of losses that were read early.

    Questions are answered for the first backend of a benchmark; the tables have them all.
    """
    answers: list[Finding] = []
    asked = [(m, m.asked) for m in comparisons.metrics().values() if m.asked]
    for metric, question in sorted(asked, key=lambda pair: pair[1].rank):
        answers += _answers(comparisons, metric, question)
    return Section(findings=(*answers, *transient.findings(comparisons)))


def _answers(comparisons: Comparisons, metric: Metric, question: Question) -> list[Finding]:
    plain = comparisons.grid.first_backend
    asked = [p for p in comparisons.points() if p.cell.backend == plain(p.benchmark)]
    groups = by_trainings(by_place(p for p in asked if p.values(metric.name)).values())
    gone = by_place(p for p in asked if p.diverged and not p.values(metric.name))
    contested = [group for group in groups.values() if len([*group, *_beside(group, gone)]) > 1]
    if metric.name == THROUGHPUT.name:  # steps timed in turns answer it better, where they are the training's
        contested = [group for group in contested if not comparisons.steps_of(group)]
    winners = [(group, *_winner(group, metric, comparisons)) for group in contested]
    told, counted = _told_and_counted(winners)
    places = _places([group for group, _, _ in told])
    sentences = [
        _sentence(question, metric, _read(metric, group, place), best, rivals, group, _beside(group, gone))
        for place, (group, best, rivals) in zip(places, told, strict=True)
    ]
    every = [point for group, _, _ in counted for point in group]
    return [*sentences, *([_count(question, metric, counted, _read(metric, every))] if counted else [])]


def _beside(group: Sequence[Point], gone: Mapping[Group, Sequence[Point]]) -> Sequence[Point]:
    """Those of a group's place of which nothing is left."""
    return gone.get((group[0].benchmark, group[0].cell.place), ())


def _read(metric: Metric, group: Sequence[Point], place: str = "") -> str:
    """A place, and how the losses of its points were read if they were not measured there."""
    return ", ".join(filter(None, [place, reading(metric, (r for p in group for r in p.ok()))]))


def _told_and_counted(winners: Sequence[Winner]) -> tuple[list[Winner], list[Winner]]:
    """Cells with a sentence each, and those that are too many for it: then small benchmarks are told before large."""
    if len(winners) <= _MOST_SENTENCES:
        return list(winners), []
    sizes = Counter(group[0].benchmark for group, _, _ in winners)
    told = [w for w in winners if sizes[w[0][0].benchmark] <= _FEW_CELLS]
    told = told if len(told) <= _MOST_SENTENCES else []
    return told, [w for w in winners if w not in told]


def _count(question: Question, metric: Metric, winners: Sequence[Winner], read: str) -> Finding:
    won = [best for group, best, rivals in winners if not rivals and _judged(metric, group, best) > 1]
    wins = Counter(best.cell.activation for best in won)
    same = sum(bool(rivals) and all(c.outcome == "same" for c in rivals) for _, _, rivals in winners)
    open_ = len(winners) - len(won)
    parts = [f"{name} has {question.superlative} in {n}" for name, n in wins.most_common()]
    names = list(dict.fromkeys(group[0].benchmark for group, _, _ in winners))
    of = f" of {_and(names)}" if len(names) < 3 else ""
    of += f", {read}" if read else ""
    exact = metric.varies_with == "nothing"  # then those that cannot be told apart are equal
    told = {"tied": open_} if exact else {"within the margin": same, "not resolved": open_ - same}
    parts += [f"{how} in {n}" for how, n in told.items() if n]
    return Finding(question.text, f"Of {len(winners)} cells{of}: {', '.join(parts)}.", exact or open_ == 0)


def _judged(metric: Metric, group: Sequence[Point], best: Point) -> int:
    """How many are held against one another: none beside one that lost seeds to divergence, as they are not either."""
    if metric.varies_with != "seed":
        return len(group)
    return 0 if best.diverged else sum(not p.diverged for p in group)


def _winner(group: Sequence[Point], metric: Metric, comparisons: Comparisons) -> tuple[Point, list[Comparison]]:
    """The best point, and the comparisons with those it cannot be told from."""
    sign = -1 if metric.better == "higher" else 1
    # A mean over the seeds that survived flatters who lost some, so that one cannot win; a count is what it is.
    exact = metric.varies_with == "nothing"
    sound = [p for p in group if exact or not p.trouble()] or group
    compared = comparisons.to_reference(metric.name)
    best = min(sound, key=lambda p: sign * (standing(compared[p]) if p in compared else typical(p, metric) or 0.0))
    beside = [p for p in group if p is not best]
    others = [c for p in beside if (c := comparisons.against(best.cell.activation, metric.name).get(p))]
    # Who is best was seen first, so of losses every pair of the cell counts as tested.
    pairs = others
    if of_losses(metric):
        every = (
            comparisons.against(a.cell.activation, metric.name).get(b)
            for i, a in enumerate(beside)
            for b in beside[i + 1 :]
        )
        pairs = [*others, *(c for c in every if c)]
    adjusted = _adjusted(pairs)
    doubtful = bool(best.trouble()) and not exact
    judged = [c for c in others if not c.diverged]
    rivals = [c for c in judged if doubtful or c.alone != "worse" or not resolves(adjusted.get(id(c), 0.0))]
    if of_losses(metric):
        equal = holm_of({id(c): c.same_p for c in pairs if c.same_p is not None})
        same: dict[bool, Outcome] = {True: "same", False: "unresolved"}
        rivals = [replace(c, outcome=same[resolves(equal.get(id(c)))]) for c in rivals]
    return best, rivals


def _adjusted(pairs: Sequence[Comparison]) -> dict[int, float]:
    """p after Holm over all of these that were tested, and no other correction, by the identity of the comparison."""
    return holm_of({id(c): c.p for c in pairs if c.p is not None})


def _sentence(
    question: Question,
    metric: Metric,
    place: str,
    best: Point,
    rivals: Sequence[Comparison],
    group: Sequence[Point],
    gone: Sequence[Point],
) -> Finding:
    value = typical(best, metric) or 0.0
    unit = scale_for(metric.unit, [value])
    shown = f"{unit.show(value)} {unit.unit}".strip()
    where = f" ({place})" if place else ""
    name = best.cell.activation
    lost = "; ".join(f"{p.cell.activation} {p.trouble()}" for p in (*group, *gone) if p.trouble())
    lost = f" Not every seed ended well: {lost}." if lost else ""
    judged = _judged(metric, group, best)
    if not rivals and judged < 2:
        return Finding(question.text, f"{name} has {question.superlative} seen{where}, {shown}.{lost}", False)
    if not rivals:
        whole = judged == len(group) and not gone
        rest = {2: "the other", 3: "both others"}.get(judged, f"all {judged - 1} others")
        rest += "" if whole else " of which no seed diverged"
        text = f"{name} has {question.superlative}{where}, {shown}, and is ahead of {rest}.{lost}"
        return Finding(question.text, text, True)
    if all(c.metric.varies_with == "nothing" for c in rivals):
        names = _and([name, *(c.cell.activation for c in rivals)])
        return Finding(question.text, f"{names} share {question.superlative}{where}, {shown}.", True)
    equal = [c for c in rivals if c.outcome == "same"]
    apart = {"within the margin of": equal, "not resolved from": [c for c in rivals if c not in equal]}
    told = " and ".join(f"{relation} {_told(chosen)}" for relation, chosen in apart.items() if chosen)
    how = "as a ratio to it" if metric.effect == "ratio" else f"in {metric.unit} against it"
    how += ", Holm over all pairs" if of_losses(metric) and len(group) > 2 else ""
    text = f"{name} has {question.superlative} seen{where}, {shown}, but is {told} ({how}).{lost}"
    return Finding(question.text, text, False)


def _told(rivals: Sequence[Comparison]) -> str:
    shown = ((c, show(c.change, c.metric.effect == "difference") if c.change else "") for c in rivals)
    return ", ".join(f"{c.cell.activation} {change}".rstrip() for c, change in shown)


def _places(groups: Sequence[Sequence[Point]]) -> list[str]:
    """What tells the groups apart, for the reader of several sentences: the benchmark, and what varies in it."""
    cells = [(group[0].benchmark, group[0].cell) for group in groups]
    several = len({name for name, _ in cells}) > 1
    axes = dict.fromkeys(["backend", "dtype", *(a for _, c in cells for a, _ in c.axes)])
    places = []
    for name, cell in cells:
        beside = [c for other, c in cells if other == name]
        told = {a: field_of(cell, a) for a in axes if len({field_of(c, a) for c in beside}) > 1}
        played = [_place(a, value) for a, value in told.items() if value != ABSENT]
        places.append(", ".join([*([name] if several else []), *played]))
    return places


def _place(field: str, value: str) -> str:
    if field == "lr" and value in WORDS:
        return WORDS[value]
    return value if field in ("benchmark", "level", "backend", "dtype", "corpus") else f"{field} {value}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
