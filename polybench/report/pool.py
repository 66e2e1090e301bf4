"""Several sessions of one measurement as a document: what they say together, and how far they lie apart."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence

from polybench.compare.pool import Pool, Pooled
from polybench.document import ABSENT, Column, Document, Entry, Table, together
from polybench.metric import scale_for
from polybench.report.provenance import facts
from polybench.report.wording import change_entry, head_columns, head_entries, name_of, show, varying_axes
from polybench.run.frame import values_of
from polybench.stats import ALPHA, CONFIDENCE_TIME

_OF_A_SESSION = ("run", "started", "load before", "load after", "meanwhile", "trials")  # facts that others have too


def document(pool: Pool) -> Document:
    """The same values that every format takes; `values` name the run they are of."""
    runs = [s.stored for s in pool.sessions]
    groups: dict[str, list[Pooled]] = defaultdict(list)
    for cell in pool.cells:
        groups[cell.benchmark].append(cell)
    told = [(name, value) for name, value in facts(runs[0]) if name not in _OF_A_SESSION]
    sessions = [(f"session {i}", f"{r.path}, {r.header.get('started_at', '')}") for i, r in enumerate(runs, 1)]
    return Document(
        title=f"{runs[0].suite.suite}: {len(runs)} session{'s' * (len(runs) > 1)}",
        description=f"{pool.metric.definition} The session is the unit.",
        tables=tuple(_table(pool, name, cells) for name, cells in groups.items()),
        facts=(*sessions, *told),
        notes=_notes(pool),
        data={"run": runs[0].header, "values": together([values_of(r).of(str(r.path)) for r in runs])},
    )


def _table(pool: Pool, name: str, cells: Sequence[Pooled]) -> Table:
    varying, shared = varying_axes([c.cell for c in cells])
    scale = scale_for(pool.metric.unit, (c.comparison.value or 0.0 for c in cells))
    columns = [
        *head_columns(varying),
        Column(pool.metric.name, scale.unit, f"{pool.metric.definition} The median over sessions."),
        Column(f"over {pool.reference}'s", note="The mean of the sessions' log-ratios, with its t interval over them."),
        Column("sessions"),
        Column("ratio by session", note="In the order of the sessions."),
        Column("sd between sessions", note="Of the log-ratio."),
        Column("error within one", note="What the launches of a session alone would make its ratio uncertain by."),
    ]
    body = []
    for c in cells:
        value = c.comparison.value or 0.0
        known = [r for r in c.ratios if r is not None]
        apart = ", ".join(ABSENT if r is None else f"{r:.3f}" for r in c.ratios) if known else ABSENT
        count = Entry(str(len(known)), len(known)) if known else Entry(ABSENT)
        body.append(
            (
                *head_entries(c.cell, varying),
                Entry(scale.show(value), value),
                change_entry(c.comparison, pool.reference),
                count,
                Entry(apart),
                _percent(c.between),
                _percent(c.within),
            )
        )
    return Table(
        key=name,
        title=name,
        caption=f"On {', '.join([pool.sessions[0].run.device, *shared])}. {CONFIDENCE_TIME:.0%} t intervals over "
        f"sessions, judged against a margin of {pool.margin(name):.0%}, or twice the A/A copy's offset if more. "
        f"Verdicts also survive Benjamini-Hochberg ({ALPHA:.0%}) over their column, or are inconclusive.",
        columns=tuple(columns),
        rows=tuple(body),
        notes=_of_copies(pool, cells, varying),
    )


def _of_copies(pool: Pool, cells: Sequence[Pooled], varying: Sequence[str]) -> tuple[str, ...]:
    """How the reference's second copy stands to its first."""
    return tuple(
        f"A/A: a second copy of {name_of(c.point, varying)} took {show(c.noise)} times as long as the first."
        for c in cells
        if c.noise and c.cell.activation == pool.reference
    )


def _notes(pool: Pool) -> tuple[str, ...]:
    """What the sessions show of each other, and what of them is not pooled."""
    notes = []
    if len(pool.sessions) == 1:
        notes.append("One session gives no interval, for nothing says how the next would differ; measure another.")
    both = [(c.between, c.within) for c in pool.cells if c.within > 0 and math.isfinite(c.between)]
    if both:
        apart, inside = (statistics.median(column) for column in zip(*both, strict=True))
        notes.append(
            f"Sessions differ by a standard deviation of {apart:.2%}, where their own launches explain {inside:.2%} "
            f"(medians over {len(both)} ratios)."
        )
    codes = dict.fromkeys(str(s.run.environment.get("code")) for s in pool.sessions)
    if len(codes) > 1:
        notes.append(f"The code of polybench was not the same in all sessions: {', '.join(codes)}.")
    kept = {m.varies_with for s in pool.sessions for p in s.points() for m in s.run.metrics[p.cell.kind].values()}
    if "nothing" in kept:
        notes.append("Exact counts of the sessions agree.")
    if "seed" in kept:
        notes.append("Losses are not pooled: a training of the same seed gives the same again, so take more seeds.")
    return tuple(notes)


def _percent(value: float) -> Entry:
    return Entry(f"{value:.2%}", value) if math.isfinite(value) else Entry(ABSENT)
