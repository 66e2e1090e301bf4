"""Pictures from their values, by matplotlib: SVG that stands in a page of any colour, and PNG.

Every activation keeps one colour, marker and line style over all pictures of a document, so a picture
can also be read in black and white. What has no colour of its own takes that of the surrounding text.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from polybench.document import Figure, Series
from polybench.metric import significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

INK = "#010203"  # stands for the colour of the text around an inlined picture; on paper it is as good as black
# Okabe and Ito, jfly.uni-koeln.de/color, told apart by the colour-blind. Their yellow is left out (1.3 : 1 on white),
# their black is the ink, so that it shows on a dark page.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # eight against seven colours: pairs repeat after 56 labels
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2, 2, 2, 2, 2)))
WIDTH, HEIGHT, _BAR, _FRAME = 6.0, 4.0, 0.32, 0.95  # inches of 72 SVG units; a bar, and all that is around bars
_FONT, _SMALL, _MOST_DIRECT = 11, 10, 14  # the last: names that fit one above the other beside a picture
_FEW_POINTS, _NEAR = 12, 12  # points that all have markers; distance in pt from which a name gets a line to its spot

Box = tuple[float, float, float, float]  # left, low, right, high, in points of the page
Look = dict[str, Any]  # how one activation is drawn, in every picture alike
Spot = tuple[float, ...]  # x, y


def palette_of(labels: Iterable[str]) -> dict[str, str]:
    """A colour for each label, by the order of first appearance."""
    return {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(dict.fromkeys(labels))}


def svg(figure: Figure, palette: Mapping[str, str] | None = None) -> str:
    """The picture as an `<svg>` element; the same figure gives the same bytes."""
    file = io.StringIO()
    with _style(figure.key):
        canvas = _draw(figure, palette or palette_of(s.label for s in figure.series))
        canvas.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _inline(file.getvalue(), figure)


def png(figure: Figure, path: Path, palette: Mapping[str, str] | None = None) -> None:
    """The picture on white, 160 dots an inch."""
    with _style(figure.key):
        canvas = _draw(figure, palette or palette_of(s.label for s in figure.series))
        canvas.savefig(path, format="png", dpi=160, facecolor="white", metadata={"Software": None})


@contextmanager
def _style(key: str) -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the reader's matplotlibrc says."""
    import matplotlib

    thin = ("axes.linewidth", "xtick.major.width", "ytick.major.width", "grid.linewidth")
    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color", "grid.color")
    ours: dict[str, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": key, "font.family": "DejaVu Sans", "font.size": _FONT,
        "xtick.labelsize": _SMALL, "ytick.labelsize": _SMALL, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.alpha": 0.13, "axes.axisbelow": True, "axes.formatter.useoffset": False,
        "text.parse_math": False, **dict.fromkeys(thin, 0.6), **dict.fromkeys(inked, INK),
    }  # fmt: skip
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(ours)
        yield


def _look(colour: str, place: int) -> Look:
    marker, dash = MARKERS[place % len(MARKERS)], DASHES[place % len(DASHES)]
    return {"color": colour, "linestyle": dash, "marker": marker, "markersize": 4, "linewidth": 1.3}


def _draw(figure: Figure, palette: Mapping[str, str]) -> Canvas:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    height = _FRAME + _BAR * len(figure.series) if figure.kind == "bars" else HEIGHT
    canvas = Canvas(figsize=(WIDTH, height), dpi=72, layout="constrained")
    FigureCanvasAgg(canvas)  # measures text; at 72 dots an inch a pixel is a point
    axes = canvas.add_subplot()
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    places = {label: i for i, label in enumerate(palette)}
    looks = [_look(palette.get(s.label, INK), places.get(s.label, len(places))) for s in figure.series]
    if figure.baseline is not None:
        (axes.axvline if figure.kind == "bars" else axes.axhline)(figure.baseline, color=INK, linewidth=0.9)
    {"curves": _curves, "bars": _bars, "pareto": _pareto}[figure.kind](canvas, axes, figure, looks)
    return canvas


def _curves(canvas: Canvas, axes: Axes, figure: Figure, looks: Sequence[Look]) -> None:
    from matplotlib.ticker import EngFormatter

    for i, (series, look) in enumerate(zip(figure.series, looks, strict=True)):
        apart = max(1, len(series.x) // 6)
        shown = 1 if len(series.x) <= _FEW_POINTS else (i * apart // len(looks), apart)
        axes.plot(series.x, series.y, **look, markevery=shown, label=series.label)
        if series.low:
            axes.fill_between(series.x, series.low, series.high, color=look["color"], alpha=0.1, linewidth=0)
    axes.margins(x=0.015, y=0.03)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 50k, 1.5M
    canvas.draw_without_rendering()  # lays out, so that places can be asked for
    if len(looks) <= _MOST_DIRECT:
        _label_ends(axes, figure.series, looks)
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=_SMALL)


def _label_ends(axes: Axes, series: Sequence[Series], looks: Sequence[Look]) -> None:
    """Names beside the ends of their lines, with a piece of the line, moved apart as far as they must be."""
    ends = [axes.transAxes.inverted().transform(axes.transData.transform((s.x[-1], s.y[-1]))) for s in series]
    gap = 1.35 * _SMALL / axes.get_window_extent().height
    beside: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
    for s, look, (x, y), place in zip(series, looks, ends, spread([float(y) for _, y in ends], gap), strict=True):
        axes.plot((x + 0.012, 1.035), (y, place), color=look["color"], linewidth=0.6, alpha=0.7, **beside)
        axes.plot((1.035, 1.065, 1.095), (place,) * 3, **look, markevery=(1, 2), **beside)
        axes.text(1.11, place, s.label, fontsize=_SMALL, va="center_baseline", transform=axes.transAxes)


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


def _bars(canvas: Canvas, axes: Axes, figure: Figure, looks: Sequence[Look]) -> None:
    """Bars lie down, so that names are read without turning the head; their values stand in a column."""
    column: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right"}
    for i, (series, look) in enumerate(zip(figure.series, looks, strict=True)):
        axes.barh(i, series.y[0], height=0.62, color=look["color"])
        _whiskers(axes, series.y[0], i, series.low, series.high, INK, across=True)
        axes.annotate(significant(series.y[0], 3), (1, i), (46, 0), va="center_baseline", fontsize=_SMALL, **column)
    axes.set_xlabel(figure.y_label)
    axes.set_ylabel(figure.x_label)
    axes.set_yticks(range(len(looks)), [s.label for s in figure.series])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(len(looks) - 0.5, -0.5)
    axes.set_xlim(0, 1.05 * max(v for s in figure.series for v in (*s.y, *s.high)))


def _pareto(canvas: Canvas, axes: Axes, figure: Figure, looks: Sequence[Look]) -> None:
    spots = [(s.x[0], s.y[0]) for s in figure.series]
    front = sorted(p for p in spots if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in spots))
    axes.step(*zip(*front, strict=True), where="post", color=INK, alpha=0.55, linewidth=0.8)
    for series, look, (x, y) in zip(figure.series, looks, spots, strict=True):
        _whiskers(axes, x, y, series.low, series.high, look["color"])
        _whiskers(axes, x, y, series.x_low, series.x_high, look["color"], across=True)
        axes.plot([x], [y], **{**look, "markersize": 7, "linestyle": "none"}, zorder=3)
    axes.margins(0.08)
    canvas.draw_without_rendering()
    canvas.set_layout_engine("none")  # or the axes would move away under the names
    _label_spots(axes, figure.series, looks, front)


def _whiskers(axes: Axes, x: float, y: float, low: Spot, high: Spot, colour: str, across: bool = False) -> None:
    if low:
        middle = x if across else y
        ends: Any = {"xerr" if across else "yerr": [[middle - low[0]], [high[0] - middle]]}
        axes.errorbar([x], [y], **ends, fmt="none", ecolor=colour, elinewidth=1, capsize=2.5)


def _label_spots(axes: Axes, series: Sequence[Series], looks: Sequence[Look], front: Sequence[Spot]) -> None:
    """A name near each point, where it covers no point, no name and few whiskers, and is nearest to its own."""

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
    taken += [(box(*line), 0.3) for line in lines]
    spots = [tuple(axes.transData.transform((s.x[0], s.y[0])).tolist()) for s in series]
    for s, look, (x, y) in zip(series, looks, spots, strict=True):
        sample = axes.text(0, 0, s.label, fontsize=_SMALL)
        size = sample.get_window_extent()
        sample.remove()
        others = [p for p in spots if p != (x, y)]
        best = min(_around(x, y, size.width, size.height), key=lambda place: cost(place, (x, y), others))
        taken.append((best, 100.0))
        line = {"arrowstyle": "-", "color": look["color"], "linewidth": 0.7, "shrinkB": 4, "relpos": (0.5, 0.5)}
        way: dict[str, Any] = {"arrowprops": line if _distance(best, (x, y)) > _NEAR else None}
        way |= {"textcoords": "offset points", "xytext": (best[0] - x, best[1] - y), "va": "bottom"}
        axes.annotate(s.label, (s.x[0], s.y[0]), fontsize=_SMALL, **way)


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


def _inline(text: str, figure: Figure) -> str:
    """An SVG file as an element of a page: ids of its own, no size, no font but the reader's."""
    text = re.sub(r"^.*?(?=<svg)|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*; ", "", text).replace(INK, "currentColor")
    text = re.sub(r'(?<= d=")[^"]*', lambda m: " ".join(re.sub(r"(\.\d\d)\d+", r"\1", m[0]).split()), text)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{figure.key}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{figure.key}-", text)
    told = html.escape(f"{figure.title}: {', '.join(s.label for s in figure.series)}")
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    look = f'font-family="sans-serif" stroke-linejoin="round" stroke-linecap="butt" role="img" aria-label="{told}"'
    text = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', lambda m: f"<svg {spaces} {m[1]} {look}>", text)
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"
