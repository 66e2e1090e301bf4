"""Names beside the lines and points of a picture, where they cover nothing and stay near to their own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any

from polybench.document import Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALL = 11  # pt
_NEAR = 12  # distance in pt from which a name gets a line to its spot

Box = tuple[float, float, float, float]  # left, low, right, high, in points of the page
Look = dict[str, Any]  # how one activation is drawn, in every picture alike
Spot = tuple[float, ...]  # x, y


def label_ends(axes: Axes, series: Sequence[Series], looks: Sequence[Look]) -> None:
    """Names beside the ends of their lines, with a piece of the line, moved apart as far as they must be."""
    ends = [axes.transAxes.inverted().transform(axes.transData.transform((s.x[-1], s.y[-1]))) for s in series]
    gap = 1.35 * SMALL / axes.get_window_extent().height
    beside: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
    for s, look, (x, y), place in zip(series, looks, ends, spread([float(y) for _, y in ends], gap), strict=True):
        axes.plot((x + 0.012, 1.035), (y, place), color=look["color"], linewidth=0.6, alpha=0.7, **beside)
        axes.plot((1.035, 1.065, 1.095), (place,) * 3, **look, markevery=(1, 2), **beside)
        axes.text(1.11, place, s.label, fontsize=SMALL, va="center_baseline", transform=axes.transAxes)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places between 0 and 1 at least `gap` apart, in the same order, as near as can be to those wanted.

    Least squares under an order is isotonic regression, here by pooling neighbours that violate it.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    pools: list[list[float]] = []
    for rank, i in enumerate(order):
        pools.append([wanted[i] - rank * gap])
        while len(pools) > 1 and fmean(pools[-2]) > fmean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    flat = [fmean(pool) for pool in pools for _ in pool]
    places = [max(0.0, min(1 - gap * (len(wanted) - 1), v)) + rank * gap for rank, v in enumerate(flat)]
    return [places[order.index(i)] for i in range(len(wanted))]


def label_spots(
    axes: Axes, series: Sequence[Series], looks: Sequence[Look], front: Sequence[Spot], baseline: float | None = None
) -> None:
    """A name near each point, where it covers no point, no name and few lines, and is nearest to its own."""

    def box(x0: float, y0: float, x1: float, y1: float, room: float = 1.5) -> Box:
        (left, low), (right, high) = axes.transData.transform([(x0, y0), (x1, y1)]).tolist()
        return left - room, low - room, right + room, high + room

    def cost(place: Box, own: Spot, others: Sequence[Spot]) -> float:
        out = max(0.0, frame.x0 - place[0], place[2] - frame.x1, frame.y0 - place[1], place[3] - frame.y1)
        far, nearest = _distance(place, own), min((_distance(place, p) for p in others), default=math.inf)
        covered = sum(weight * _overlap(place, other) for other, weight in taken)
        return float(100 * out + far + 20 * (nearest < far + 4) + covered)

    frame = axes.get_window_extent()
    taken = [(box(s.x[0], s.y[0], s.x[0], s.y[0], 5), 100.0) for s in series]
    lines = [(s.x[0], s.low[0], s.x[0], s.high[0]) for s in series if s.low]
    lines += [(s.x_low[0], s.y[0], s.x_high[0], s.y[0]) for s in series if s.x_low]
    lines += [part for a, b in pairwise(front) for part in ((a[0], a[1], b[0], a[1]), (b[0], b[1], b[0], a[1]))]
    if baseline is not None:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        lines += [(left, baseline, right, baseline), (baseline, low, baseline, high)]
    taken += [(box(*line), 0.3) for line in lines]
    spots = [tuple(axes.transData.transform((s.x[0], s.y[0])).tolist()) for s in series]
    for s, look, (x, y) in zip(series, looks, spots, strict=True):
        sample = axes.text(0, 0, s.label, fontsize=SMALL)
        size = sample.get_window_extent()
        sample.remove()
        others = [p for p in spots if p != (x, y)]
        best = min(_around(x, y, size.width, size.height), key=lambda place: cost(place, (x, y), others))
        taken.append((best, 100.0))
        line = {"arrowstyle": "-", "color": look["color"], "linewidth": 0.7, "shrinkB": 4, "relpos": (0.5, 0.5)}
        way: dict[str, Any] = {"arrowprops": line if _distance(best, (x, y)) > _NEAR else None}
        way |= {"textcoords": "offset points", "xytext": (best[0] - x, best[1] - y), "va": "bottom"}
        axes.annotate(s.label, (s.x[0], s.y[0]), fontsize=SMALL, **way)


def _around(x: float, y: float, width: float, height: float) -> Iterator[Box]:
    """Boxes of this size around a point."""
    for away in (6, 10, 16, 24, 36):
        for left in (x + away, x - away - width, x - width / 2):
            for low in (y - height / 2, y + away, y - away - height):
                yield left, low, left + width, low + height


def _distance(box: Box, spot: Spot) -> float:
    return math.hypot(max(box[0] - spot[0], 0, spot[0] - box[2]), max(box[1] - spot[1], 0, spot[1] - box[3]))


def _overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
