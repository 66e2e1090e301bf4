"""Small pictures of a suite over time: one a metric, benchmark and activation, a line a machine, changes circled."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from polybench.compare.history import Change, History, Line
from polybench.compare.kept_session import Session
from polybench.compare.sessions import is_timed
from polybench.document import Figure, Mark, Series
from polybench.metric import Metric, Scale, scale_for
from polybench.stats import CONFIDENCE_SEED, CONFIDENCE_TIME

_TICKS = 4  # dates below a picture at most


def figures(history: History) -> Iterator[Figure]:
    """One small picture a metric, benchmark and activation, with a line for each machine; none of a count at rest."""
    groups: dict[tuple[str, str, str], list[Line]] = defaultdict(list)
    for line in history.lines:
        groups[line.metric.name, line.benchmark, line.activation].append(line)
    ticks = _ticks(history.sessions)
    numbers = {id(c): n for n, c in enumerate(history.changes, 1)}
    for key, lines in groups.items():
        name, benchmark, activation = key
        metric, ratio = lines[0].metric, is_timed(lines[0].metric)
        mine = [c for c in history.changes if (c.metric.name, c.benchmark, c.activation) == key]
        if metric.varies_with == "nothing" and not mine:
            continue
        scale = scale_of(metric, lines)
        what = f"{benchmark}: {metric.words}" + (f" over {history.latest.suite.reference}'s" if ratio else "")
        yield Figure(
            key=key_of(f"history {name} {benchmark} {activation}"),
            kind="history",
            title=f"{what} ({activation})",
            caption=f"{metric.definition} {told(metric, history)} Circled: changes, by their numbers.",
            x_label="",
            y_label="ratio" if ratio else scale.unit,
            series=tuple(_series(line, scale.factor) for line in lines),
            ticks=ticks,
            marks=tuple(m for c in mine for m in _mark(c, lines, scale.factor, numbers[id(c)])),
        )


def _series(line: Line, factor: float) -> Series:
    shown = [s.shown.map(lambda v: v / factor) for s in line.spots]
    known = [(e.low, e.high) if e.known else (math.nan, math.nan) for e in shown]
    ends = tuple(zip(*known, strict=True)) if any(low < high for low, high in known) else ((), ())
    return Series(line.where, tuple(float(s.session + 1) for s in line.spots), tuple(e.value for e in shown), *ends)


def _mark(c: Change, lines: Sequence[Line], factor: float, number: int) -> Iterator[Mark]:
    """Where its line shows it, which it does unless the line leaves that session out."""
    for line in lines:
        for spot in line.spots:
            if (line.where, spot.session) == (c.where, c.step.session):
                yield Mark(float(spot.session + 1), spot.shown.value / factor, str(number))


def _ticks(sessions: Sequence[Session]) -> tuple[tuple[float, str], ...]:
    """A few sessions with their dates; the hour where all are of one day."""
    days = {day(s) for s in sessions}
    last = len(sessions) - 1
    at = sorted({round(i * last / (_TICKS - 1)) for i in range(_TICKS)})
    years = {d[:4] for d in days}
    texts = {
        i: s.started_at[11:16] if len(days) == 1 else day(s) if len(years) > 1 else day(s)[5:]
        for i, s in enumerate(sessions)
    }
    shown: list[tuple[float, str]] = []
    for i in at:
        if not shown or shown[-1][1] != texts[i]:
            shown.append((float(i + 1), texts[i]))
    return tuple(shown)


def scale_of(metric: Metric, lines: Sequence[Line]) -> Scale:
    """One unit for all that is shown of a metric; ratios have none."""
    return scale_for("1" if is_timed(metric) else metric.unit, (s.shown.value for x in lines for s in x.spots))


def told(metric: Metric, history: History) -> str:
    """What a value of it is, between sessions."""
    if is_timed(metric):
        return (
            f"{metric.name} over that of {history.latest.suite.reference} in the same session, the median over cells, "
            f"with its interval within that session ({CONFIDENCE_TIME:.0%} of times, {CONFIDENCE_SEED:.0%} of what "
            "varies with the seed). Sessions of one machine differ by more than such an interval says: a difference "
            "between two is no finding."
        )
    if metric.varies_with == "seed":
        return (
            f"{metric.name}, the mean over seeds with its {CONFIDENCE_SEED:.0%} t interval, the median over cells; "
            "changes are judged seed by seed, which tells more apart."
        )
    return f"{metric.name} is exact, on any machine; the median over cells."


def day(one: Session) -> str:
    return one.started_at[:10] or "undated"


def key_of(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")
