"""What a selfcheck found, as a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from polybench.compare.comparisons import Comparisons
from polybench.compare.selfcheck import KIND, Cells, cells, log_ratios, ours, rules
from polybench.document import Column, Entry, Table
from polybench.report.section import Section
from polybench.run.store import Run
from polybench.stats import clopper_pearson


def section(comparisons: Comparisons) -> Section:
    """Cells of a selfcheck are not compared activation by activation, so theirs is another table."""
    kinds = {b.kind for b in comparisons.run.suite.benchmarks}
    return Section(tables=(table(comparisons.stored),)) if KIND in kinds else Section()


def table(run: Run) -> Table:
    """False alarms and power of every rule, with exact 95 % bounds."""
    measured = cells(run)
    factors = sorted({c.slowdown for c in measured})
    rows = []
    for rule in rules(run.suite.margin):
        alarms = sum(rule.flags(c, c.equal) for c in measured)
        row = [Entry(rule.name), _share(alarms, len(measured))]
        for factor in factors:
            group = [c for c in measured if c.slowdown == factor]
            row.append(_share(sum(rule.flags(c, c.slowed) for c in group), len(group)))
        rows.append(tuple(row))
    columns = [
        Column("rule", numeric=False),
        Column("false alarms", note="Cells in which two copies of the same code were called different."),
        *(Column(f"found at x{f:.2f}", note="Cells in which the slowed copy was called different.") for f in factors),
    ]
    return Table(
        key=KIND,
        title="Verdicts on equal and on slowed code",
        caption=f"{len(measured)} cells, {_sizes(measured)}, "
        f"margin {run.suite.margin:.0%}. Every rule saw the same samples, taken in turns. "
        "Shares with exact (Clopper-Pearson) 95 % bounds, one-sided where nothing or all was flagged.",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=_notes(run, measured),
    )


def _sizes(measured: Sequence[Cells]) -> str:
    launches = sorted({len(c.base) for c in measured})
    blocks = sorted({len(v) for c in measured for v in c.base})
    ends = [" to ".join(map(str, sorted({v[0], v[-1]}))) if v else "no" for v in (launches, blocks)]
    return f"{ends[0]} launches of {ends[1]} blocks"


def _notes(run: Run, measured: Sequence[Cells]) -> tuple[str, ...]:
    """What limits the verdicts here: how equal code spreads inside a launch and between launches."""
    if not measured:
        return ()
    margin = run.suite.margin
    spreads, apart = [], []
    for c in measured:
        logs = log_ratios(c.base, c.equal)
        spreads += [statistics.stdev(d) for d in logs if len(d) > 1]
        if len(logs) > 1:
            apart.append(statistics.stdev([statistics.median(d) for d in logs]))
    outcomes = [ours(c, c.equal, margin) for c in measured]
    told = ", ".join(f"{outcomes.count(o)} {w}" for o, w in (("same", "same"), ("unresolved", "inconclusive"),
                     ("unstable", "unstable"), ("better", "faster"), ("worse", "slower")))  # fmt: skip
    notes = [f"Our verdicts on equal code: {told}."]
    if spreads:
        notes.append(
            f"Ratio of equal code, block by block: standard deviation {statistics.median(spreads):.2%} "
            f"(nine in ten launches below {statistics.quantiles(spreads, n=10)[-1]:.2%})"
            if len(spreads) > 1
            else f"Ratio of equal code, block by block: standard deviation {spreads[0]:.2%}"
        )
    if apart:
        notes.append(f"Between launches its medians differ by a standard deviation of {statistics.median(apart):.2%}.")
    return tuple(notes)


def _share(hits: int, trials: int) -> Entry:
    low, high = clopper_pearson(hits, trials)
    share = hits / trials if trials else math.nan
    return Entry(f"{hits} of {trials} [{low:.1%}, {high:.1%}]", share, low, high)
