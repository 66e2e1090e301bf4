"""The reference's law over model sizes, and how many times as much it spends for another activation's loss."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from polybench.compare.comparison import exp
from polybench.compare.comparisons import Comparisons
from polybench.compare.grid import seed_differences
from polybench.compare.points import PARAMETERS, of_seeds
from polybench.compare.scaling import LOSS, Family, Ladder, beside, ladders, lost_beside
from polybench.compare.seeds import finite, p_over_looks
from polybench.compare.speed_up import (
    DRAWS,
    Pair,
    Reference,
    flops,
    in_proportion,
    log_speed_ups,
    obstacle,
    over_sizes,
    reference,
    resampled,
    tokens,
    without_one,
)
from polybench.corrections import holm_of, resolves
from polybench.document import ABSENT, Column, Entry, Finding, Table
from polybench.measure.kinds.pretrain import VAL_LOSS
from polybench.measure.training_metrics import SPEED_UP
from polybench.metric import significant
from polybench.report import law
from polybench.report.section import Section
from polybench.report.wording import key_of, p_entry, show, title_of, verdict_word
from polybench.stats import ALPHA, CONFIDENCE_SEED, Estimate, paired

ALL = "all sizes"
_NONE = Entry(ABSENT)

Families = Mapping[Family, Sequence[Ladder]]


@dataclass(frozen=True)
class SpeedUp:
    """ln of it at one size, or on average over all, by seed, and what else is told of it."""

    size: str
    spent: float | None  # FLOPs
    logs: Mapping[int, float]
    difference: float  # of losses
    drawn: Estimate | None
    by_laws: Sequence[float]  # that one size was left out of
    in_tokens: Mapping[int, float]
    extrapolated: bool = False
    lost: str = ""


def section(comparisons: Comparisons) -> Section:
    """A table of the law and one of speed-ups a family of sizes, and a sentence for each activation."""
    families = ladders(comparisons.points(), comparisons.reference)
    tables: list[Table] = []
    findings: list[Finding] = []
    notes: list[str] = []
    for family, steps in families.items():
        own = next(x for x in steps if x.activation == comparisons.reference)
        by_flops, by_tokens = reference(own, flops), reference(own, tokens) if in_proportion(own) else None
        if by_flops is None:
            whose = title_of(f"the sizes of {own.activation}", family, families)
            notes.append(f"No law is fitted to {whose} and no speed-up is read: {obstacle(own, flops)}.")
            continue
        tables.append(law.table(comparisons, family, families, by_flops, by_tokens))
        pairs = {x.activation: [p for p in beside(x, own) if flops(p[0]) < math.inf] for x in steps if x is not own}
        told = {name: _speed_ups(ps, by_flops, by_tokens) for name, ps in pairs.items() if ps and not by_flops.trouble}
        if not told:
            continue
        looks = comparisons.grid.looks(family[0])
        ps = {name: holm_of({u.size: p_over_looks(_tested(u), looks) for u in ups[:-1]}) for name, ups in told.items()}
        total = holm_of({name: p_over_looks(_tested(ups[-1]), looks) for name, ups in told.items()})
        ps = {name: {**known, ALL: total[name]} for name, known in ps.items()}
        tables.append(_table(comparisons, family, families, by_flops.fit.missed, told, ps))
        findings += [
            _finding(comparisons, family, families, name, ups, ps[name], len(own.rungs)) for name, ups in told.items()
        ]
    metrics = frozenset({SPEED_UP.name} if families else ())
    return Section(tuple(tables), findings=tuple(findings), notes=tuple(notes), metrics=metrics)


def _tested(one: SpeedUp) -> Mapping[int, float]:
    """What p is of: nothing, so that it is 1, of what lost seeds or is never reached."""
    return one.logs if not one.lost and finite(one.logs) else {}


def _speed_ups(pairs: Sequence[Pair], by_flops: Reference, by_tokens: Reference | None) -> list[SpeedUp]:
    """At each size and, last, over all of them, unless the reference has one more."""
    drawn: Sequence[Estimate | None] = resampled(by_flops, pairs, flops) or [None] * (len(pairs) + 1)
    found = [_at(pair, by_flops, by_tokens, check) for pair, check in zip(pairs, drawn, strict=False)]
    missing = len(by_flops.sizes) - len(pairs)
    gone = f"{missing} of {len(by_flops.sizes)} sizes missing" if missing else ""
    whole = SpeedUp(
        ALL, None, over_sizes([u.logs for u in found]), fmean(u.difference for u in found), drawn[-1],
        [fmean(of_law) for of_law in zip(*(u.by_laws for u in found), strict=False)],
        over_sizes([u.in_tokens for u in found]), lost=next((u.lost for u in found if u.lost), gone),
    )  # fmt: skip
    return [*found, whole]


def _at(pair: Pair, by_flops: Reference, by_tokens: Reference | None, drawn: Estimate | None) -> SpeedUp:
    point, twin = pair
    logs = log_speed_ups(by_flops.by_seed, pair, flops)
    spent, differences = flops(point), [d for d in seed_differences(point, twin, VAL_LOSS).values() if math.isfinite(d)]
    return SpeedUp(
        f"{max(of_seeds(point, PARAMETERS)):,.0f}", spent, logs, fmean(differences or [0.0]), drawn,
        without_one(by_flops, pair, flops) if logs else (),
        log_speed_ups(by_tokens.by_seed, pair, tokens) if by_tokens and not by_tokens.trouble else {},
        bool(logs) and by_flops.extrapolates(spent * exp(fmean(logs.values()))), lost_beside(point, twin),
    )  # fmt: skip


def _table(
    comparisons: Comparisons,
    family: Family,
    families: Families,
    missed: float,
    told: Mapping[str, Sequence[SpeedUp]],
    ps: Mapping[str, Mapping[str, float]],
) -> Table:
    name, unit = comparisons.reference, comparisons.run.metrics[family[1].kind][LOSS].unit
    return Table(
        key=key_of("table", "speed-up", family, families),
        title=title_of("Effective speed-up", family, families),
        caption=f"How many times the FLOPs of a training {name} would need, by its law, for the loss that the "
        f"activation reached with them: above 1 the activation is ahead. Seed by seed and over what the law needs for "
        f"{name}'s own loss at that size; geometric means with a {CONFIDENCE_SEED:.0%} t interval of the logarithm. "
        f"Better or worse where the t p is at most {ALPHA:.0%} after Holm over the sizes, of {ALL} over the "
        f"activations. Where the mean losses differ by less than the {significant(missed, 2)} {unit} by which the law "
        "misses a size left out, a factor is not resolved: how large it is hangs on the law, whether it is "
        "above 1 does not. Extrapolated: the law is read beyond the sizes that were trained.",
        columns=(
            Column("activation", numeric=False), Column("parameters"), Column("training FLOPs"),
            Column("speed-up", note=SPEED_UP.definition), Column("t p (Holm)"),
            Column("resampled", note=f"Percentiles of {DRAWS} draws of the seeds, each with an irreducible loss of its "
                                     "own: a check on the t interval, too narrow where seeds are few."),
            Column("without a size", note="The least and largest by the laws that one of the sizes was left out of."),
            Column("in tokens", note="By the law of tokens, where every size had as many a parameter."), Column("n"),
        ),
        rows=tuple(_row(who, u, missed, ps[who][u.size]) for who, ups in told.items() for u in ups),
    )  # fmt: skip


def _row(activation: str, one: SpeedUp, missed: float, p: float) -> tuple[Entry, ...]:
    spent = _NONE if one.spent is None else Entry(f"{one.spent:.2e}", one.spent)
    head = Entry(activation), Entry(one.size), spent
    if not one.logs:
        return *head, Entry(ABSENT, outcome=one.lost), _NONE, _NONE, _NONE, _NONE, Entry("0")
    if not finite(one.logs):
        reached = sum(map(math.isfinite, one.logs.values()))
        text = f"reached by {reached} of {len(one.logs)}"
        return *head, Entry(text, outcome="not resolved"), _NONE, _NONE, _NONE, _NONE, Entry(str(len(one.logs)))
    middle = paired([*one.logs.values()])
    word = "not resolved" if abs(one.difference) < missed else verdict_word(p, better=middle.value > 0)
    return (
        *head,
        _entry(middle, one.lost or word, one.extrapolated),
        p_entry(None if one.lost else p),
        _entry(one.drawn) if one.drawn and one.drawn.known else _NONE,
        Entry(" to ".join(f"{exp(end):.3g}" for end in (min(one.by_laws), max(one.by_laws)))),
        _entry(paired([*one.in_tokens.values()])) if one.in_tokens and finite(one.in_tokens) else _NONE,
        Entry(str(middle.n)),
    )


def _entry(log: Estimate, outcome: str = "", extrapolated: bool = False) -> Entry:
    ratio = log.map(exp)
    text = show(ratio) + (" extrapolated" if extrapolated else "")
    return Entry(text, ratio.value, ratio.low, ratio.high, outcome=outcome)


def _finding(
    comparisons: Comparisons,
    family: Family,
    families: Families,
    activation: str,
    ups: Sequence[SpeedUp],
    ps: Mapping[str, float],
    count: int,
) -> Finding:
    """The geometric mean over all sizes of the reference, and whether the advantage has one sign at each of them."""
    *sizes, whole = ups
    name, question = comparisons.reference, title_of("Over model sizes", family, families)
    words = Counter(_sign(u, ps[u.size]) for u in sizes)
    words["missing"] = count - len(sizes)
    signs = f"{', '.join(f'{word} at {n}' for word, n in words.most_common() if n)} of {count} sizes"
    if not _tested(whole):
        return Finding(question, f"what {name} needs for {activation}'s loss is not told at every size: {signs}", False)
    ratio = show(paired([*whole.logs.values()]).map(exp))
    text = f"{name} needs {ratio} times the FLOPs for {activation}'s loss, as a geometric mean; {activation} is {signs}"
    return Finding(question, text, len(+words) == 1 and all(resolves(ps[u.size]) for u in sizes))


def _sign(one: SpeedUp, p: float) -> str:
    return one.lost or verdict_word(p, better=bool(one.logs) and fmean(one.logs.values()) > 0)
