"""Squares of numbers as maps side by side, each cell in its colour, with its number where there is room."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from polybench.document import Figure, Map
from polybench.report.formats.labels import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Dimension key: S rows and columns of a map, 4 for red, green, blue and opacity.

SIZE = 6.0, 3.5  # inches
# Both are read by the colour-blind: one grows lighter (doi:10.1371/journal.pone.0199239), one parts blue from red.
_VALUES, _DIFFERENCES = "cividis", "RdBu_r"
_LEVELS = 21  # colours of a scale, odd for one around 0: of few each is found again in the bar
_MOST_NUMBERS = 9  # rows of a map whose cells have room for numbers
_DARK = 0.5  # luma of a cell, of 0 to 1, below which what stands on it is white
_LUMA = 0.299, 0.587, 0.114  # of red, green and blue (ITU-R BT.601)


def draw(canvas: Canvas, figure: Figure) -> None:
    """Up to two maps; one alone is as large as one of two."""
    left, right = canvas.subplots(1, 2)
    left.set_ylabel(figure.y_label)
    right.axis(len(figure.maps) > 1)
    for axes, one in zip((left, right), figure.maps, strict=False):
        _map(canvas, axes, one)
        axes.set_xlabel(figure.x_label)


def _map(canvas: Canvas, axes: Axes, one: Map) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import Normalize
    from numpy import array

    size = len(one.rows)
    colours = colormaps[_DIFFERENCES if one.signed else _VALUES].resampled(_LEVELS)
    values_SxS = array(one.rows)
    mesh = axes.pcolormesh(values_SxS, cmap=colours, norm=Normalize(*one.scale))
    axes.set(aspect="equal", xlim=(0, size), ylim=(size, 0))
    axes.set_title(one.label, fontsize=SMALL + 1)
    ticks = range(0, size, -(-size // _MOST_NUMBERS))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([i + 0.5 for i in ticks], list(map(str, ticks)))
    axes.tick_params(length=0)
    axes.grid(visible=False)
    canvas.colorbar(mesh, ax=axes, location="bottom", shrink=0.8, aspect=30)
    colours_SxSx4 = mesh.to_rgba(values_SxS)
    for i, k in product(range(size), repeat=2):
        if math.isfinite(one.rows[i][k]):
            _cell(axes, one, i, k, colours_SxSx4[i, k])


def _cell(axes: Axes, one: Map, i: int, k: int, colour: Any) -> None:
    """Its number where there is room, and its frame where its interval leaves out 0."""
    luma = sum(weight * part for weight, part in zip(_LUMA, colour[:3], strict=True))
    ink = "white" if luma < _DARK else "black"
    if len(one.rows) <= _MOST_NUMBERS:
        text = _short(one.rows[i][k], 2 if one.scale[1] >= 0.1 else 3, one.signed)
        axes.text(k + 0.5, i + 0.5, text, color=ink, fontsize=7, ha="center", va="center")
    if one.low and (one.low[i][k] > 0 or one.high[i][k] < 0):
        _frame(axes, i, k, ink)


def _frame(axes: Axes, i: int, k: int, ink: str) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((k + 0.08, i + 0.08), 0.84, 0.84, fill=False, edgecolor=ink, linewidth=0.8))


def _short(value: float, places: int, signed: bool) -> str:
    """Without the 0 before the point; 0 and 1 where they are exact."""
    if value in (0, 1):
        return f"{value:.0f}"
    text = f"{value:{'+' if signed else ''}.{places}f}"
    return text.replace("0.", ".", 1).replace("-", "\u2212")
