"""A suite over time: a line for each metric, benchmark and activation, and every change of a cell with its company."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from polybench.compare.changes import Seen, Step, judged, of_counts, of_seeds, of_times
from polybench.compare.kept_session import Session, Told, beside, machines
from polybench.compare.sessions import is_timed
from polybench.corrections import holm, resolves
from polybench.metric import Metric
from polybench.stats import ALPHA, Estimate
from polybench.trial import Cell

Name = tuple[str, str, str, str]  # a metric, a benchmark, an activation, and where: a machine or a device
Cells = Mapping[Cell, Seen]


@dataclass(frozen=True)
class Spot:
    """What a session says of a line: the median over its cells, and over the ends of their intervals."""

    session: int
    shown: Estimate


@dataclass(frozen=True)
class Line:
    """One metric of one activation in one benchmark over the sessions that have all of its `cells`.

    `where` is the letter of a machine of what drifts, else a device, since counts and losses hold on any machine.
    `left_out` counts the sessions that measured some of the cells alone, or others.
    """

    metric: Metric
    benchmark: str
    activation: str
    where: str
    cells: tuple[Cell, ...]
    spots: tuple[Spot, ...]
    left_out: int = 0


@dataclass(frozen=True)
class Change:
    """What changed of a line at a session: the cell that changed most, how many did, and what else changed."""

    metric: Metric
    benchmark: str
    activation: str
    where: str
    cell: Cell
    step: Step
    changed: int
    cells: int
    company: tuple[str, ...]

    @property
    def better(self) -> bool | None:
        """None of a metric without a good direction, and of a change to nothing."""
        if self.metric.better == "neither":
            return None
        return self.metric.improves(self.step.new.value - self.step.old.value)


@dataclass(frozen=True)
class History:
    """Sessions by when they began, the letters of their machines, lines in the order of the suite, changes in time.

    `asked` counts the sessions of cells whose times were judged; of too few none is. `apart` is the number of
    sessions whose times are left out, since they are over those of another reference.
    """

    sessions: tuple[Session, ...]
    machines: tuple[str, ...]
    lines: tuple[Line, ...]
    changes: tuple[Change, ...]
    asked: int
    apart: int = 0

    @property
    def latest(self) -> Session:
        return self.sessions[-1]


def history(sessions: Sequence[Session]) -> History:
    """What sessions of one suite, by when they began, say together. Raises ValueError where there is none."""
    if not sessions:
        raise ValueError("no session was given")
    letters = machines(sessions)
    metrics: dict[str, Metric] = {}
    for one in reversed(sessions):  # as the latest defines them
        metrics = {**one.metrics, **metrics}
    apart = {i for i, one in enumerate(sessions) if one.suite.reference != sessions[-1].suite.reference}
    groups: dict[Name, dict[Cell, list[tuple[int, Told]]]] = defaultdict(lambda: defaultdict(list))
    for i, one in enumerate(sessions):
        for (name, benchmark, cell), told in one.told.items():
            if is_timed(metrics[name]) and i in apart:
                continue  # a ratio to another
            where = letters[i] if is_timed(metrics[name]) else cell.device
            groups[name, benchmark, cell.activation, where][cell].append((i, told))
    ordered = sorted(groups, key=lambda name: _place(sessions[-1], metrics, name))
    lines = [_line(sessions, metrics[name[0]], name, groups[name]) for name in ordered]
    asked = sum(judged(seen) for name in ordered if is_timed(metrics[name[0]]) for seen in groups[name].values())
    changes = [c for name in ordered for c in _changes(sessions, metrics[name[0]], name, groups[name], asked)]
    kept = sorted(_resolved(changes), key=lambda c: c.step.session)
    return History(tuple(sessions), tuple(letters), tuple(lines), tuple(kept), asked, len(apart))


def _place(latest: Session, metrics: Mapping[str, Metric], name: Name) -> tuple[int, int, int, str]:
    benchmarks = [b.name for b in latest.suite.benchmarks]
    orders = [*metrics], benchmarks, [*latest.suite.activations]
    at = [order.index(one) if one in order else len(order) for order, one in zip(orders, name, strict=False)]
    return at[0], at[1], at[2], name[3]


def _line(sessions: Sequence[Session], metric: Metric, name: Name, cells: Cells) -> Line:
    by_session: dict[int, dict[Cell, Told]] = defaultdict(dict)
    for cell, found in cells.items():
        for i, told in found:
            by_session[i][cell] = told
    wanted = _wanted(sessions, by_session)
    whole = {i: [told[c] for c in wanted] for i, told in sorted(by_session.items()) if wanted <= told.keys()}
    spots = tuple(Spot(i, _median([t.shown for t in told])) for i, told in whole.items())
    left = len(by_session) - len(whole)
    return Line(metric, *name[1:], tuple(c for c in cells if c in wanted), spots, left)


def _wanted(sessions: Sequence[Session], by_session: Mapping[int, Mapping[Cell, Told]]) -> frozenset[Cell]:
    """The cells of the latest whole session that most of those have that have any of them.

    So a value added to a matrix, or a run of a few cells, does not break the line.
    """
    latest = max(by_session, key=lambda i: (sessions[i].whole, i))
    mine = frozenset(by_session[latest])
    related = [told.keys() for told in by_session.values() if told.keys() & mine]
    common = frozenset(c for c in mine if 2 * sum(c in told for told in related) > len(related))
    return common or mine


def _median(shown: Sequence[Estimate]) -> Estimate:
    """If each interval covers the truth of its cell, the median of their ends covers that of the truths."""
    value, low, high = (
        statistics.median(ends) for ends in zip(*((e.value, e.low, e.high) for e in shown), strict=True)
    )
    return Estimate(value, low, high, len(shown))


def _changes(sessions: Sequence[Session], metric: Metric, name: Name, cells: Cells, asked: int) -> list[Change]:
    _, benchmark, activation, where = name
    margin = max((s.margins.get(benchmark, 0.0) for s in sessions), default=0.0)
    found = []
    for cell, seen in cells.items():
        if is_timed(metric):
            steps = list(of_times(seen, margin, ALPHA / asked)) if asked else []
        else:
            steps = list((of_counts if metric.varies_with == "nothing" else of_seeds)(seen))
        for step in steps:
            company = beside(sessions[step.before], sessions[step.session], benchmark)
            found.append(Change(metric, benchmark, activation, where, cell, step, 1, len(cells), company))
    return found


def _resolved(changes: Sequence[Change]) -> list[Change]:
    """Those that survive Holm over all that is paired by seed, of each line and session the one that changed most."""
    paired = [c for c in changes if not is_timed(c.metric) and c.metric.varies_with != "nothing"]
    survive = {id(c) for c, p in zip(paired, holm([c.step.p for c in paired]), strict=True) if resolves(p)}
    asked = {id(c) for c in paired}
    groups: dict[tuple[str, str, str, str, int], list[Change]] = defaultdict(list)
    for c in changes:
        if id(c) in survive or id(c) not in asked:
            groups[c.metric.name, c.benchmark, c.activation, c.where, c.step.session].append(c)
    return [_most(group) for group in groups.values()]


def _most(group: Sequence[Change]) -> Change:
    first = max(group, key=lambda c: abs(c.step.new.value - c.step.old.value) / (abs(c.step.old.value) or 1.0))
    return replace(first, changed=len(group))
