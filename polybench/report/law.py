"""The law of the reference's losses over its sizes: what was fitted, how far it misses, and its line in a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from polybench.compare.comparisons import Comparisons
from polybench.compare.scaling import LOSS, Family, Ladder
from polybench.compare.speed_up import Reference
from polybench.document import ABSENT, Column, Entry, Series, Table
from polybench.metric import significant
from polybench.report import bands
from polybench.report.wording import MINUS, key_of, show, title_of
from polybench.stats import CONFIDENCE_SEED, paired

_STROKES = 25  # points of the line


def table(
    comparisons: Comparisons,
    family: Family,
    families: Mapping[Family, Sequence[Ladder]],
    by_flops: Reference,
    by_tokens: Reference | None,
) -> Table:
    """Each law that was tried, against FLOPs and against tokens, and which of them is taken."""
    name, unit = comparisons.reference, comparisons.run.metrics[family[1].kind][LOSS].unit
    laws = [(what, law) for what, law in (("FLOPs", by_flops), ("tokens", by_tokens)) if law]
    untrue = [f"{name}'s loss does not fall with {what} {law.trouble}" for what, law in laws if law.trouble]
    return Table(
        key=key_of("table", "law", family, families),
        title=title_of(f"The law of {name} over its sizes", family, families),
        caption=f"loss = E + c C^{MINUS}a, where C is what a training spent in all: FLOPs and, if every size had as "
        f"many a parameter, tokens. c and a are least squares of log(loss {MINUS} E) on log C, a line a seed, a with "
        f"its {CONFIDENCE_SEED:.0%} t interval over the seeds. E is least squares of the mean losses, from 0 up, "
        "where there are four sizes at least. Missed: each size by the law of the others, root of the mean square.",
        columns=(
            Column("against", numeric=False), Column("irreducible loss E", unit), Column("exponent a"),
            Column("missed", unit), Column("taken", numeric=False),
        ),
        rows=tuple(
            (Entry(what), Entry(significant(fit.law.irreducible, 3), fit.law.irreducible), _exponent(law, place),
             Entry(significant(fit.missed, 2), fit.missed), Entry(ABSENT if place or law.trouble else "taken"))
            for what, law in laws for place, fit in enumerate(law.fits)
        ),
        notes=tuple(f"{each}, so no speed-up is read from it." for each in untrue),
    )  # fmt: skip


def _exponent(law: Reference, place: int) -> Entry:
    found = paired([each.exponent for each in law.laws(law.fits[place]).values()])
    return Entry(show(found), found.value, found.low, found.high)


def line(name: str, law: Reference, few: bool) -> Series:
    """The law from the smallest size to the largest, with its band over the seeds."""
    low, high = (math.log(end) for end in (min(law.spent), max(law.spent)))
    across = [math.exp(low + (high - low) * i / (_STROKES - 1)) for i in range(_STROKES)]
    losses = {x: [one.loss_at(x) for one in law.by_seed.values()] for x in across}
    return replace(bands.line(f"law of {name}", losses, few, len(law.by_seed) > 1), fitted=True)
