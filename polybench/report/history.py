"""A suite over time as a document: what changed and beside what, a table and small pictures a metric, the sessions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from polybench.compare.changes import LEAST
from polybench.compare.history import Change, History, Line
from polybench.compare.kept_session import Session
from polybench.compare.sessions import is_timed
from polybench.document import ABSENT, Column, Document, Entry, Finding, Table
from polybench.metric import Metric, Scale, in_full
from polybench.report.history_pictures import day, figures, key_of, scale_of, told
from polybench.report.wording import field_of, show, varying_axes
from polybench.stats import ALPHA, Estimate

COLUMNS = (
    "session", "started_at", "path", "kept_as", "revision", "code", "torch", "machine", "metric", "unit", "benchmark",
    "activation", "cells", "value", "low", "high",
)  # fmt: skip
_TOLD = 6  # changes that the answer tells, the latest first; the table has all
_NOTHING = "nothing that was recorded"


def document(history: History, notes: Sequence[str] = ()) -> Document:
    """The same for every format; `values` are what the pictures show, a row each."""
    suite, sessions = history.latest.suite.suite, history.sessions
    span = " to ".join(dict.fromkeys((day(sessions[0]), day(sessions[-1]))))
    by_metric: dict[str, list[Line]] = defaultdict(list)
    for line in history.lines:
        by_metric[line.metric.name].append(line)
    tables = [_changes(history)] if history.changes else []
    tables += [_metric(history, lines) for lines in by_metric.values()]
    return Document(
        title=f"{suite}: history",
        description=f"{len(sessions)} session{'s' * (len(sessions) > 1)}, {span}.",
        findings=tuple(_findings(history)),
        tables=(*tables, _sessions(history)),
        figures=tuple(figures(history)),
        facts=_facts(history),
        notes=(*_notes(history), *notes),
        data={"columns": COLUMNS, "values": list(_values(history))},
    )


def _findings(history: History) -> Iterator[Finding]:
    """The latest changes; or that there was none, and of what that is said."""
    question = "What changed"
    confirmed = [c for c in history.changes if c.step.confirmed]
    for c in list(reversed(history.changes))[:_TOLD]:
        at = history.sessions[c.step.session]
        doubt = "" if c.step.confirmed else "; one more session would confirm it"
        beside = ", ".join(c.company) or _NOTHING
        text = (
            f"{_name(c)}: {_was(c)} became {_now(c)} in session {c.step.session + 1}, {day(at)}, with {beside}{doubt}."
        )
        yield Finding(question, text, c.step.confirmed)
    if len(history.sessions) == 1:
        yield Finding(question, "There is one session, and none before it that it could differ from.", False)
    elif not confirmed:
        times = f", nor among {history.asked} ratios of times that were judged" if history.asked else ""
        text = f"Nothing among counts and losses in {len(history.sessions)} sessions{times}."
        yield Finding(question, text, True)
    if not history.asked and any(is_timed(line.metric) for line in history.lines):
        text = f"Times are judged once a machine has more than {LEAST} sessions; until then they are only shown."
        yield Finding(question, text, False)


def _changes(history: History) -> Table:
    """A row a change, the latest first."""
    names = ("session", "date", "metric", "benchmark", "activation", "cells", "most in")
    columns = [Column("change", "", "Its number in the pictures.", numeric=False)]
    columns += [Column(name, numeric=False) for name in names]
    columns += [
        Column("before", note="Of a time: the mean over the sessions since the last change."),
        Column("after"),
        Column("change of it", note="A ratio; of losses the difference, paired by seed."),
        Column("what else changed", numeric=False, note="Since the session that it is compared with."),
    ]
    rows = []
    for number, c in reversed(list(enumerate(history.changes, 1))):
        at, before = history.sessions[c.step.session], c.step.before + 1
        good = {None: "", True: "better", False: "worse"}[c.better] if c.step.confirmed else "not confirmed"
        beside = "; ".join(c.company) or _NOTHING
        words = (f"{c.step.session + 1} after {before}", day(at), c.metric.name, c.benchmark, c.activation)
        rows.append(
            (
                *map(Entry, (str(number), *words)),
                Entry(f"{c.changed} of {c.cells}"),
                Entry(_cell(history, c)),
                _entry(c.step.old, _was(c)),
                _entry(c.step.new, _now(c), good),
                _entry(c.step.change, show(c.step.change, signed=_differs(c.metric))),
                Entry(beside),
            )
        )
    return Table(
        "changes",
        "Changes",
        "Counts change when they differ at all; losses when their difference, paired by seed, survives Holm "
        f"({ALPHA:.0%}) over all that are asked; ratios of times when two sessions in a row lie beyond the margin and "
        f"beyond what the sessions of that machine before them spread, with an error of {ALPHA:.0%} over the page. "
        "Of several cells that changed, the row is of the one that changed most.",
        tuple(columns),
        tuple(rows),
    )


def _metric(history: History, lines: Sequence[Line]) -> Table:
    metric = lines[0].metric
    scale = scale_of(metric, lines)
    names = ("activation", "benchmark", "machine" if is_timed(metric) else "device")
    columns = (
        *(Column(name, numeric=False) for name in names),
        Column("cells", note="Over which the median is taken."),
        Column("sessions"),
        *(Column(name, scale.unit, metric.definition) for name in ("first", "latest", "lowest", "highest")),
        Column("last changed", numeric=False),
    )
    rows = []
    for line in lines:
        shown = [s.shown for s in line.spots]
        lowest, *_, highest = sorted([*shown, *shown], key=lambda e: e.value)
        last = [c.step.session for c in history.changes if _line_of(c) == _line_of(line) and c.step.confirmed]
        rows.append(
            (
                *(Entry(text) for text in (line.activation, line.benchmark, line.where)),
                *(Entry(str(n), n) for n in (len(line.cells), len(shown))),
                *(_entry(e, _scaled(e, scale)) for e in (shown[0], shown[-1], lowest, highest)),
                Entry(f"session {last[-1] + 1}, {day(history.sessions[last[-1]])}" if last else ABSENT),
            )
        )
    left = sum(line.left_out for line in lines)
    notes = [f"{left} values are not shown, of sessions that lack cells of the latest whole one."] if left else []
    if history.apart and is_timed(metric):
        notes.append(f"{history.apart} sessions had another reference, so their ratios are not shown.")
    return Table(key_of(metric.name), metric.name, told(metric, history), columns, tuple(rows), tuple(notes))


def _sessions(history: History) -> Table:
    names = ("date", "run", "kept as", "machine", "revision", "code", "torch", "trials")
    rows = []
    for i, one in reversed(list(enumerate(history.sessions))):
        ended = ", ".join(f"{n} {words}" for words, n in one.ended.items())
        words = (day(one), one.path, one.shelf, history.machines[i], *_versions(one), ended)
        rows.append(tuple(Entry(text or ABSENT) for text in (str(i + 1), *words)))
    columns = tuple(Column(name, numeric=False) for name in ("session", *names))
    return Table("sessions", "Sessions", "By when they began, the latest first.", columns, tuple(rows))


def _facts(history: History) -> tuple[tuple[str, str], ...]:
    """Each machine by its letter, as its latest session found it."""
    found: dict[str, Session] = dict(zip(history.machines, history.sessions, strict=True))
    counts = {letter: history.machines.count(letter) for letter in found}
    machines = [
        (f"machine {x}", f"{_machine(s)}, {counts[x]} session{'s' * (counts[x] > 1)}") for x, s in found.items()
    ]
    return (("suite", history.latest.suite.suite), ("reference", history.latest.suite.reference), *sorted(machines))


def _machine(one: Session) -> str:
    environment = one.environment
    if one.device != "cpu" and environment.get("gpus"):
        return ", ".join(environment["gpus"])
    memory = environment.get("memory_GiB", "")
    return f"{environment.get('cpu', 'an unnamed processor')}, {environment.get('cores', '?')} cores, {memory} GiB"


def _notes(history: History) -> Iterator[str]:
    codes = {s.environment.get("code") for s in history.sessions}
    yield f"The sessions are of {len(codes)} state{'s' * (len(codes) > 1)} of polybench's code."


def _values(history: History) -> Iterator[dict[str, Any]]:
    for line in history.lines:
        for spot in line.spots:
            one = history.sessions[spot.session]
            revision, code, torch = _versions(one)
            yield {
                "session": spot.session + 1, "started_at": one.started_at, "path": one.path, "kept_as": one.shelf,
                "revision": revision, "code": code, "torch": torch, "machine": history.machines[spot.session],
                "metric": line.metric.name, "unit": "ratio" if is_timed(line.metric) else line.metric.unit,
                "benchmark": line.benchmark, "activation": line.activation, "cells": len(line.cells),
                "value": spot.shown.value, "low": spot.shown.low, "high": spot.shown.high,
            }  # fmt: skip


def _versions(one: Session) -> tuple[str, str, str]:
    """Revision of the folder that polybench was started in, hash of polybench's own code, version of torch."""
    found = one.environment
    torch = found.get("packages", {}).get("torch") or found.get("torch", "")
    return str(found.get("revision", "")), str(found.get("code", "")), str(torch)


def _line_of(one: Line | Change) -> tuple[str, str, str, str]:
    return one.metric.name, one.benchmark, one.activation, one.where


def _name(c: Change) -> str:
    return f"{c.metric.name} of {c.activation} in {c.benchmark}" + (f" on {c.where}" if is_timed(c.metric) else "")


def _was(c: Change) -> str:
    return _number(c.metric, c.step.old)


def _now(c: Change) -> str:
    return _number(c.metric, c.step.new)


def _number(metric: Metric, value: Estimate) -> str:
    """A ratio, an exact count with its unit, or a mean with its interval."""
    if is_timed(metric):
        return show(value)
    if metric.varies_with == "nothing":
        return f"{in_full(value.value)} {metric.unit}".removesuffix(" 1")
    return f"{show(value)} {metric.unit}".removesuffix(" 1")


def _differs(metric: Metric) -> bool:
    return metric.varies_with == "seed" and not is_timed(metric)


def _cell(history: History, c: Change) -> str:
    """What sets the cell that changed most apart from the others of its line."""
    cells = next((x.cells for x in history.lines if _line_of(x) == _line_of(c)), ())
    varying, _ = varying_axes([c.cell, *cells])
    return ", ".join(field_of(c.cell, name) for name in varying) or ABSENT


def _entry(value: Estimate, text: str, outcome: str = "") -> Entry:
    return Entry(text, value.value, value.low, value.high, outcome=outcome)


def _scaled(value: Estimate, scale: Scale) -> str:
    if value.low == value.high:
        return scale.show(value.value)
    return show(value.map(lambda v: v / scale.factor))
