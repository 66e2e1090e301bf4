"""Is a verdict on this machine to be trusted? Equal code must pass as equal, slowed code must be found."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from polybench.compare.comparison import judge_times
from polybench.document import Column, Entry, Table
from polybench.measure.kinds.selfcheck import BASE, CONTROL, EQUAL, SLOWED
from polybench.measure.kinds.speed import TOTAL, SpeedProtocol
from polybench.plan.suite import Suite
from polybench.record import Record, Status
from polybench.run.store import Run
from polybench.stats import clopper_pearson, launch_excess, of_launches
from polybench.stopping import settled
from polybench.trial import Cell

KIND = "selfcheck"
ACTIVATIONS = ("relu", "gelu", "swiglu")  # the cheapest, so that many cells fit
SLOWDOWNS = (1.03, 1.05, 1.08, 1.10)
FIRST_LOOK = 20  # blocks, as in the protocol of speed
LEAST_POWER = 0.5  # at the largest slowdown; where even the upper bound is below, no verdict can be expected
WORST_RATE = 0.02  # of false alarms that the confidence of the intervals allows at the very margin

Launches = list[list[float]]


def suite(cells: int, launches: int, blocks: int) -> Suite:
    """As many cells as asked for, or a few more: every activation with every slowdown, again and again."""
    repeats = max(1, math.ceil(cells / (len(ACTIVATIONS) * len(SLOWDOWNS))))
    matrix = {"slowdown": list(SLOWDOWNS), "repeat": list(range(repeats))}
    benchmark = {
        "name": KIND, "kind": KIND, "matrix": matrix, "protocol": {"launches": launches, "blocks": blocks},
    }  # fmt: skip
    return Suite.model_validate(
        {
            "suite": KIND,
            "description": "Verdicts on equal code, and on code that is slower by a known factor.",
            "device": "cpu",  # a GPU replays graphs, in which a slowdown by extra calls would be frozen
            "activations": list(ACTIVATIONS),
            "reference": ACTIVATIONS[0],
            "benchmarks": [benchmark],
        }
    )


@dataclass(frozen=True)
class Cells:
    """Times of one cell's copies in seconds, a list a launch; only launches that measured all of them."""

    slowdown: float
    base: Launches
    control: Launches
    equal: Launches
    slowed: Launches


def cells(run: Run) -> list[Cells]:
    """What the run measured, cell by cell."""
    groups: dict[Cell, list[Record]] = defaultdict(list)
    for record in run.records:
        if record.trial.cell.kind == KIND and record.status is Status.OK:
            groups[record.trial.cell].append(record)
    return [
        Cells(
            float(cell.axis("slowdown")),
            *([list(m.values) for r in records if (m := r.get(arm.name))] for arm in (BASE, CONTROL, EQUAL, SLOWED)),
        )
        for cell, records in groups.items()
    ]


@dataclass(frozen=True)
class Rule:
    """A way to decide whether times differ: `flags(cell, other)` says that a copy's do from the first's."""

    name: str
    flags: Callable[[Cells, Launches], bool]


def ours(cell: Cells, other: Launches, margin: float) -> str:
    """The verdict of polybench, each launch ended at the first look that would have ended it."""
    least = math.log1p(margin)
    looks = SpeedProtocol.model_validate({"blocks": FIRST_LOOK}).checkpoints()
    ratios = [_ratios(cell.base, o) for o in (other, cell.control, cell.equal, cell.slowed)]
    for launch, mine in enumerate(ratios[0]):
        both = mine, ratios[1][launch]
        end = next((n for n in looks if all(settled(of_launches([d[:n]]), least) for d in both)), len(mine))
        for arm in ratios:
            del arm[launch][end:]
    excess = launch_excess(ratios[1:])
    return judge_times(ratios[0], least, of_launches(ratios[1], excess=excess), TOTAL, excess)[2]


def rules(margin: float) -> tuple[Rule, ...]:
    """Ours, and what other tools do with the same samples."""
    return (
        Rule("polybench", lambda c, o: ours(c, o, margin) in ("better", "worse")),
        # asv 0.6, is_different of asv/statistics.py with the factor of `asv continuous`.
        Rule("asv: p < 0.002 and medians 10 % apart", lambda c, o: _mann_whitney(c.base, o) < 0.002 and _apart(c, o)),
        # pytest-benchmark 5, --benchmark-compare-fail=mean:10%, in either direction.
        Rule("pytest-benchmark: mean 10 % apart", lambda c, o: abs(_mean(o) / _mean(c.base) - 1) > 0.1),
        Rule("Mann-Whitney p < 0.05", lambda c, o: _mann_whitney(c.base, o) < 0.05),
    )


def table(run: Run) -> Table:
    """False alarms and power of every rule, with exact 95 % bounds."""
    found = cells(run)
    factors = sorted({c.slowdown for c in found})
    rows = []
    for rule in rules(float(run.suite["margin"])):
        alarms = sum(rule.flags(c, c.equal) for c in found)
        row = [Entry(rule.name), _share(alarms, len(found))]
        for factor in factors:
            group = [c for c in found if c.slowdown == factor]
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
        caption=f"{len(found)} cells, {_sizes(found)}, "
        f"margin {float(run.suite['margin']):.0%}. Every rule saw the same samples, taken in turns. "
        "Shares with exact (Clopper-Pearson) 95 % bounds, one-sided where nothing or all was flagged.",
        columns=tuple(columns),
        rows=tuple(rows),
        notes=_notes(run, found),
    )


def _sizes(found: Sequence[Cells]) -> str:
    launches = sorted({len(c.base) for c in found})
    blocks = sorted({len(v) for c in found for v in c.base})
    ends = [" to ".join(map(str, sorted({v[0], v[-1]}))) if v else "no" for v in (launches, blocks)]
    return f"{ends[0]} launches of {ends[1]} blocks"


def least_power(run: Run) -> float:
    """Upper bound of the share of the most slowed cells that our rule finds; 1 when there is no such cell."""
    found = cells(run)
    most = max((c.slowdown for c in found), default=1.0)
    group = [c for c in found if c.slowdown == most]
    flags = rules(float(run.suite["margin"]))[0].flags
    return clopper_pearson(sum(flags(c, c.slowed) for c in group), len(group))[1]


def bound(run: Run) -> tuple[int, int, float, float]:
    """(false alarms, cells, lower and upper bound of their rate) of our rule."""
    found = cells(run)
    flags = rules(float(run.suite["margin"]))[0].flags
    alarms = sum(flags(c, c.equal) for c in found)
    return alarms, len(found), *clopper_pearson(alarms, len(found))


def _notes(run: Run, found: Sequence[Cells]) -> tuple[str, ...]:
    """What limits the verdicts here: how equal code spreads inside a launch and between launches."""
    if not found:
        return ()
    margin = float(run.suite["margin"])
    spreads, apart = [], []
    for c in found:
        logs = _ratios(c.base, c.equal)
        spreads += [statistics.stdev(d) for d in logs if len(d) > 1]
        if len(logs) > 1:
            apart.append(statistics.stdev([statistics.median(d) for d in logs]))
    outcomes = [ours(c, c.equal, margin) for c in found]
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


def _mann_whitney(base: Launches, other: Launches) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(_pooled(base), _pooled(other)).pvalue)


def _ratios(base: Launches, other: Launches) -> Launches:
    """Log-ratios block by block."""
    return [[math.log(y / x) for x, y in zip(b, o, strict=True)] for b, o in zip(base, other, strict=True)]


def _apart(cell: Cells, other: Launches) -> bool:
    ratio = statistics.median(_pooled(other)) / statistics.median(_pooled(cell.base))
    return max(ratio, 1 / ratio) > 1.1


def _mean(launches: Launches) -> float:
    return statistics.fmean(_pooled(launches))


def _pooled(launches: Launches) -> list[float]:
    return [value for launch in launches for value in launch]
