"""How alike the states of a residual stream are at all pairs of depths: a picture an activation."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.grid import seed_pairs
from polybench.compare.points import Group, Point, by_place, by_step
from polybench.document import Figure, Map, Square
from polybench.measure.training_metrics import PAIR_COSINE, pairs_of
from polybench.report.section import Section
from polybench.report.wording import held_constant, key_of, mean_over, sentences, title_of, troubles
from polybench.stats import CONFIDENCE_SEED, Estimate, paired

_WHAT = "Cosine of the residual stream between layers"
_TOLD = (
    "Cosine of the residual stream at two depths, mean over tokens of one held-out batch; 0 is before the first layer, "
    "1 after it, and so on"
)
Means = Mapping[int, Estimate]  # over the seeds, by the number of a pair, which counts from 1


def section(comparisons: Comparisons) -> Section:
    """Of each group of cells that were observed a picture for each activation, all on one scale."""
    every = by_place(comparisons.points())
    groups = {g: shown for g, ps in every.items() if (shown := [p for p in ps if by_step(p, PAIR_COSINE)])}
    return Section(figures=tuple(f for g in groups for f in _figures(comparisons, g, groups, troubles(every[g]))))


def _figures(
    comparisons: Comparisons, group: Group, groups: Mapping[Group, Sequence[Point]], lost: str
) -> Iterator[Figure]:
    points, reference = groups[group], comparisons.reference
    cosines = [_means(by_step(p, PAIR_COSINE)) for p in points]
    changes = [_means(_differences(p, comparisons.grid.twin(p, reference))) for p in points]
    widest = max(map(abs, _finite(changes)), default=0.0) or 1.0
    caption = sentences(
        _TOLD,
        f"On the left: {_counted(cosines)}",
        f"On the right, less {reference}'s of the same seed: {_counted(changes)}" if any(changes) else "",
        _of_frames(changes),
        held_constant(comparisons, group, points),
        lost,
    )
    for number, (point, cosine, change) in enumerate(zip(points, cosines, changes, strict=True), 1):
        name = point.cell.activation
        maps = [_map(name, cosine, 1.0, (min([0.0, *_finite(cosines)]), 1.0))]
        if change:
            maps.append(_map(f"{name} less {reference}", change, 0.0, (-widest, widest)))
        yield Figure(
            key=key_of(f"likeness {number}", PAIR_COSINE.name, group, groups),
            kind="matrix",
            title=_of(name, title_of(_WHAT, group, groups)),
            caption=caption,
            x_label="Layer",
            y_label="Layer",
            maps=tuple(maps),
        )


def _of(name: str, title: str) -> str:
    return f"{title[:-1]}, {name})" if title.endswith(")") else f"{title} ({name})"


def _differences(point: Point, other: Point | None) -> dict[int, list[float]]:
    """By pair what each seed has less that of the reference; none of the reference itself."""
    by_pair: dict[int, list[float]] = defaultdict(list)
    for _, mine, theirs in seed_pairs(point, other, PAIR_COSINE) if other and other.cell != point.cell else ():
        for number, a, b in zip(mine.steps or (), mine.values, theirs.values, strict=True):
            by_pair[number].append(a - b)
    return by_pair


def _means(by_pair: Mapping[int, Sequence[float]]) -> Means:
    """NaN where a seed has no finite value."""
    lost = Estimate(math.nan, math.nan, math.nan, 0)
    return {n: paired(v) if all(map(math.isfinite, v)) else lost for n, v in by_pair.items()}


def _map(label: str, means: Means, same: float, scale: tuple[float, float]) -> Map:
    """`same` is what a state and itself have; of differences, where it is 0, with their intervals if there are any."""
    ends = ("low", "high") if same == 0 and any(m.known for m in means.values()) else ()
    rows, *interval = (_square(means, end, same) for end in ("value", *ends))
    return Map(label, rows, scale, same == 0, *interval)


def _square(means: Means, end: str, same: float) -> Square:
    size = math.isqrt(2 * len(means)) + 1  # S states have S (S - 1) / 2 pairs
    rows = [[same] * size for _ in range(size)]
    for number, (i, k) in enumerate(pairs_of(size), 1):
        rows[i][k] = rows[k][i] = getattr(means[number], end)
    return tuple(map(tuple, rows))


def _finite(several: Sequence[Means]) -> list[float]:
    return [m.value for means in several for m in means.values() if math.isfinite(m.value)]


def _counted(several: Sequence[Means]) -> str:
    told = mean_over([max(m.n for m in means.values()) for means in several if means])
    return told[0].lower() + told[1:]


def _of_frames(changes: Sequence[Means]) -> str:
    """What a frame says, and how many of them chance alone would draw."""
    tested = sum(m.known for means in changes for m in means.values())
    by_chance = f"{(1 - CONFIDENCE_SEED) * tested:.1f}"
    framed = f"Framed are pairs whose {CONFIDENCE_SEED:.0%} t interval leaves out 0, uncorrected"
    return f"{framed}: of {tested} such intervals chance alone would frame {by_chance}" if tested else ""
