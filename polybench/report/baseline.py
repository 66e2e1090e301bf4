"""A baseline as a document: what it holds, and of each machine from which change on a time would fail."""

from __future__ import annotations

from collections.abc import Sequence

from polybench.compare.baseline import Baseline
from polybench.compare.calibration import Calibration, Standing
from polybench.compare.drift import LEAST_SESSIONS
from polybench.compare.sessions import Session
from polybench.compare.stored_times import UNGATEABLE
from polybench.document import ABSENT, Column, Document, Entry, Table
from polybench.metric import scale_for
from polybench.stopping import POWER

_COLUMNS = (
    Column("time", numeric=False),
    Column("rule", numeric=False),
    Column("sessions"),
    Column("typical", note="The median over sessions."),
    Column("sd between sessions", note="Of the log of the time over its yardstick, pooled over the cell's place."),
    Column("margin", note="Worse than the mean of the sessions by more than this fails."),
    Column("found from", note=f"The least change that {POWER:.0%} of gates would find."),
    Column("can be gated", numeric=False, note=f"Found from no more than {UNGATEABLE:g} times the tolerance on."),
)


def document(baseline: Baseline) -> Document:
    run = baseline.run
    parts = [(name, sessions, Calibration(baseline, sessions)) for name, sessions in baseline.machines.items()]
    rules = len(run.suite.gate)
    return Document(
        title=f"{baseline.name}: a baseline of suite {run.suite.suite}",
        description=f"{len(run.records)} records of bytes, counts and losses, which gate on any machine. "
        f"{rules} rule{'s' * (rules != 1)}.",
        tables=tuple(_table(name, sessions, known.standings()) for name, sessions, known in parts),
        facts=(("folder", str(run.path)), ("started", str(run.header.get("started_at", "")))),
        notes=() if parts else ("No session has timed anything that is gated, so times are not judged.",),
    )


def _table(name: str, sessions: Sequence[Session], standings: Sequence[Standing]) -> Table:
    days = sorted({s.started_at.partition("T")[0] for s in (sessions[0], sessions[-1])})
    codes = len({s.code for s in sessions})
    counted = f"{len(sessions)} session{'s' * (len(sessions) > 1)}, {' to '.join(days)}"
    return Table(
        key=name,
        title=name,
        caption=f"{counted}; {codes} code{'s' * (codes > 1)} of polybench.",
        columns=_COLUMNS,
        rows=tuple(map(_row, standings)),
        notes=_notes(standings),
    )


def _row(one: Standing) -> tuple[Entry, ...]:
    scale = scale_for(one.metric.unit, [one.typical])
    known = one.bounds
    return (
        Entry(f"{one.label} {one.metric.name}"),
        Entry(f"{one.rule}: {100 * one.tolerance:.3g}%"),
        Entry(str(one.sessions), one.sessions),
        Entry(f"{scale.show(one.typical)} {scale.unit}".strip(), one.typical),
        Entry(f"{one.sd:.2%}", one.sd) if one.sessions > 1 else Entry(ABSENT),
        Entry(f"{known.margin:.1%}", known.margin) if known else Entry(ABSENT),
        Entry(f"{known.detectable:.1%}", known.detectable) if known else Entry(ABSENT),
        Entry(state(one)),
    )


def state(one: Standing) -> str:
    """`yes`, `ungateable`, or how many sessions are missing."""
    if one.bounds is None:
        return f"{one.missing} more session{'s' * (one.missing > 1)}"
    return "yes" if one.bounds.gateable else "ungateable"


def _notes(standings: Sequence[Standing]) -> tuple[str, ...]:
    few = [s for s in standings if s.bounds is None]
    coarse = [s for s in standings if s.bounds and not s.bounds.gateable]
    judged = len(standings) - len(few)
    notes = []
    if few:
        notes.append(f"{len(few)} of {len(standings)} times have fewer than {LEAST_SESSIONS} sessions, so none fails.")
    if judged:
        notes.append(
            f"{judged - len(coarse)} of {judged} times can be gated, {len(coarse)} are ungateable: of these a change "
            f"of {UNGATEABLE:g} times the tolerance would be missed too often, so they never pass."
        )
    return tuple(notes)
