"""Small pictures of a value over sessions: a line a machine, its interval, and numbered rings where it changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from polybench.document import Figure
from polybench.report.formats.labels import SMALL, Look, label_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SIZE = 3.2, 2.1  # inches
_MOST_POINTS = 30  # that still have markers and whiskers, not a plain line in a band


def draw(canvas: Canvas, axes: Axes, figure: Figure, looks: Sequence[Look]) -> None:
    """A history, whose numbers across are those of sessions."""
    for series, look in zip(figure.series, looks, strict=True):
        few = len(series.x) <= _MOST_POINTS
        dash = look["linestyle"] if len(figure.series) > 1 else "-"
        marked = {**look, "linestyle": dash, "marker": look["marker"] if few else None, "markersize": 3}
        axes.plot(series.x, series.y, **marked)
        if series.low and few:
            for x, low, high in zip(series.x, series.low, series.high, strict=True):
                axes.plot((x, x), (low, high), color=look["color"], linewidth=0.8, alpha=0.7)
        elif series.low:
            axes.fill_between(series.x, series.low, series.high, color=look["color"], alpha=0.2, linewidth=0)
    for mark in figure.marks:
        axes.plot([mark.x], [mark.y], marker="o", markersize=9, fillstyle="none", color=axes.yaxis.label.get_color())
        above: dict[str, Any] = {"xytext": (0, 7), "textcoords": "offset points", "ha": "center", "fontsize": SMALL - 2}
        axes.annotate(mark.text, (mark.x, mark.y), **above)
    axes.set_xticks([x for x, _ in figure.ticks], [text for _, text in figure.ticks], fontsize=SMALL - 2)
    axes.tick_params(axis="y", labelsize=SMALL - 2)
    axes.locator_params(axis="y", nbins=4)
    axes.margins(x=0.06, y=0.16)
    if len(figure.series) > 1:
        canvas.draw_without_rendering()  # lays out, so that places can be asked for
        label_ends(axes, figure.series, looks)
