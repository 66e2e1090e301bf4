"""Pictures from their values, by matplotlib: SVG that stands in a page of any colour, and PNG.

Every activation keeps one colour, marker and line style over all pictures of a document, so a picture
can also be read in black and white. What has no colour of its own takes that of the surrounding text.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polybench.document import Figure
from polybench.metric import power_of_ten, significant
from polybench.report.formats import heat, timeline
from polybench.report.formats.labels import SMALL, Look, Spot, label_ends, label_spots

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
_FONT, _MOST_DIRECT = 12, 14  # the last: names that fit one above the other beside a picture
_FEW_POINTS = 12  # points that all have markers
_NEARLY = 1.1  # ratio below which two values across share a tick


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
        "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "axes.spines.top": False, "axes.spines.right": False,
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
    size = {"history": timeline.SIZE, "matrix": heat.SIZE}.get(figure.kind, (WIDTH, height))
    canvas = Canvas(figsize=size, dpi=72, layout="constrained")
    FigureCanvasAgg(canvas)  # measures text; at 72 dots an inch a pixel is a point
    if figure.kind == "matrix":
        heat.draw(canvas, figure)
        return canvas
    axes = canvas.add_subplot()
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    places = {label: i for i, label in enumerate(palette)}
    looks = [_look(palette.get(s.label, INK), places.get(s.label, len(places))) for s in figure.series]
    looks = [{**look, "marker": ""} if s.fitted else look for s, look in zip(figure.series, looks, strict=True)]
    if figure.baseline is not None and figure.kind != "bars":
        axes.axhline(figure.baseline, color=INK, linewidth=0.9)
    if figure.baseline is not None and figure.kind in ("bars", "pareto"):
        axes.axvline(figure.baseline, color=INK, linewidth=0.9)
    draw = {"curves": _curves, "bars": _bars, "pareto": _pareto, "history": timeline.draw}[figure.kind]
    draw(canvas, axes, figure, looks)
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
    if figure.logarithmic == "both":
        _by_decades(axes)
    elif figure.logarithmic == "x":
        _by_values(axes, sorted({x for s in figure.series if not s.fitted for x in s.x}))
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 50k, 1.5M
        axes.locator_params(axis="x", integer=True)  # steps, tokens, layers
    canvas.draw_without_rendering()  # lays out, so that places can be asked for
    if len(looks) <= _MOST_DIRECT:
        label_ends(axes, figure.series, looks)
    else:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=SMALL)


def _by_decades(axes: Axes) -> None:
    """Both axes logarithmic, a tick a decade; matplotlib's own labels would need its mathematics."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=10))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, place: power_of_ten(value)))


def _by_values(axes: Axes, xs: Sequence[float]) -> None:
    """A logarithmic axis across with a tick at each value, of those that nearly coincide at the first."""
    from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, NullLocator

    ticks: list[float] = []
    for x in xs:
        if not ticks or x > _NEARLY * ticks[-1]:
            ticks.append(x)
    large = EngFormatter(sep="")

    def shown(value: float, place: int) -> str:
        rounded = float(f"{value:.2g}")
        return str(large(rounded)) if value >= 1000 else f"{rounded:g}"

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(shown))


def _bars(canvas: Canvas, axes: Axes, figure: Figure, looks: Sequence[Look]) -> None:
    """Bars lie down, so that names are read without turning the head; their values stand in a column."""
    column: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right"}
    for i, (series, look) in enumerate(zip(figure.series, looks, strict=True)):
        axes.barh(i, series.y[0], height=0.62, color=look["color"])
        _whiskers(axes, series.y[0], i, series.low, series.high, INK, across=True)
        axes.annotate(significant(series.y[0], 3), (1, i), (46, 0), va="center_baseline", fontsize=SMALL, **column)
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
    label_spots(axes, figure.series, looks, front, figure.baseline)


def _whiskers(axes: Axes, x: float, y: float, low: Spot, high: Spot, colour: str, across: bool = False) -> None:
    if low:
        middle = x if across else y
        ends: Any = {"xerr" if across else "yerr": [[middle - low[0]], [high[0] - middle]]}
        axes.errorbar([x], [y], **ends, fmt="none", ecolor=colour, elinewidth=1, capsize=2.5)


def _inline(text: str, figure: Figure) -> str:
    """An SVG file as an element of a page: ids of its own, no size, no font but the reader's."""
    text = re.sub(r"^.*?(?=<svg)|<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*; ", "", text).replace(INK, "currentColor")
    text = re.sub(r'(?<= d=")[^"]*', lambda m: " ".join(re.sub(r"(\.\d\d)\d+", r"\1", m[0]).split()), text)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{figure.key}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{figure.key}-", text)
    told = html.escape(f"{figure.title}: {', '.join(figure.labels)}")
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    look = f'font-family="sans-serif" stroke-linejoin="round" stroke-linecap="butt" role="img" aria-label="{told}"'
    text = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', lambda m: f"<svg {spaces} {m[1]} {look}>", text)
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"
