"""Losses by seed: every activation beside the reference, with both tests of the difference."""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.derive import reading
from polybench.compare.points import Point, by_place, of_seeds
from polybench.compare.seeds import look_of
from polybench.corrections import holm_of
from polybench.document import ABSENT, Column, Entry, Table
from polybench.looks import FIRST, LATER, over_looks
from polybench.record import Status
from polybench.report.section import Section
from polybench.report.wording import (
    change_entry,
    head_columns,
    head_entries,
    name_of,
    number,
    p_entry,
    status_word,
    varying_axes,
)
from polybench.stats import ALPHA, CONFIDENCE_SEED, MOST_PAIRS, sign_flip
from polybench.stopping import POWER

Cells = Sequence[Comparison]


def section(comparisons: Comparisons) -> Section:
    """A table for every loss in every benchmark."""
    benchmarks: dict[str, dict[str, Cells]] = {b.name: {} for b in comparisons.run.suite.benchmarks}
    for metric in _by_seed(comparisons):
        measured: dict[str, list[Comparison]] = defaultdict(list)
        for comparison in comparisons.to_reference(metric).values():
            measured[comparison.benchmark].append(comparison)
        for name, cells in measured.items():
            if any(c.value is not None for c in cells):
                benchmarks.setdefault(name, {})[metric] = cells
    tables = [table for name, losses in benchmarks.items() for table in _tables(comparisons, name, losses)]
    return Section(tables=tuple(tables), metrics=frozenset(m for losses in benchmarks.values() for m in losses))


def _by_seed(comparisons: Comparisons) -> list[str]:
    """The metrics that have such tables, what the answer asks first in front."""
    losses = [m for m in comparisons.metrics().values() if m.by_seed]
    return [m.name for m in sorted(losses, key=lambda m: (m.asked is None, m.asked.rank if m.asked else 0))]


def _tables(comparisons: Comparisons, benchmark: str, losses: Mapping[str, Cells]) -> list[Table]:
    """The caption of the first table holds for the others too, which only refer to it."""
    tables: list[Table] = []
    for cells in losses.values():
        tables.append(_loss_table(comparisons, benchmark, cells, tables[0].title if tables else ""))
    return tables


def _loss_table(comparisons: Comparisons, benchmark: str, cells: Cells, first: str) -> Table:
    metric, reference = cells[0].metric, comparisons.reference
    varying, shared = varying_axes([c.cell for c in cells])
    flips = _sign_flips(comparisons, cells)
    columns = (
        *head_columns(varying),
        Column(metric.name, metric.unit, metric.definition),
        Column("sd over seeds", metric.unit),
        Column(f"less {reference}'s", metric.unit),
        Column("t p (Holm)"),
        Column("sign-flip p (Holm)"),
        Column("n"),
        Column("more seeds"),
        Column("diverged"),
    )
    along = reading(metric, (r for c in cells for r in c.point.ok()))
    rows = []
    for c in cells:
        values, tested = of_seeds(c.point, metric.name, signed=True), c.q is not None and not c.diverged
        rows.append((
            *head_entries(c.cell, varying),
            Entry(f"{c.value:.4f}", c.value) if c.value is not None else Entry(status_word(c.point)),
            number(statistics.stdev(values)) if len(values) > 1 else Entry(ABSENT),
            change_entry(c, reference),
            p_entry(c.q if tested else None), p_entry(flips.get(c.point)),
            Entry(str(c.change.n if c.change else len(values))),
            Entry(re.sub(" more seeds?", "", c.settle)),
            Entry(_diverged(c.point)),
        ))  # fmt: skip
    seeds = max(len(c.point.records) for c in cells)
    margin, looks = comparisons.grid.loss_margin(benchmark, metric), comparisons.grid.looks(benchmark)
    # A derived loss is missing where the measured one is, whose table tells why.
    lost = (
        {}
        if comparisons.derived(metric.name)
        else {name_of(c.point, varying): why for c in cells if (why := c.point.trouble())}
    )
    return Table(
        key=f"{benchmark}-{metric.name.replace('_', '-')}",
        title=f"{benchmark}: {metric.title or metric.name}{along and ', ' + along}, by seed",
        caption=f"{metric.definition} Cells and rule as in {first}."
        if first
        else _caption(
            reference,
            [comparisons.run.device, *shared],
            seeds,
            f"{margin:g} {metric.unit}" if margin else "",
            [len(look) for look in looks],
        ),
        columns=columns,
        rows=tuple(rows),
        notes=tuple(f"{who}: {why}" for who, why in lost.items()),
    )


def _caption(reference: str, shared: Sequence[str], seeds: int, margin: str, looks: Sequence[int]) -> str:
    before = f", and before at {' and '.join(map(str, looks))}" if looks else ""
    equal = (
        f"Same is what has an interval within {margin} of 0 and a p of two one-sided t tests of at most "
        f"{ALPHA:.0%}, after the same corrections. "
        if margin
        else ""
    )
    return (
        f"On {', '.join(shared)}. Differences from {reference} are paired by seed and carry {CONFIDENCE_SEED:.0%} t "
        f"intervals. Judged at {seeds} seed{'s' * (seeds > 1)}{before}, and every p counts how often: the first time "
        f"may spend {FIRST:.0%} of the error, all later ones together {LATER:.0%}, so that seeds can be added as the "
        f"table advises. Better or worse is what has an interval that excludes 0 and a t p of at most {ALPHA:.0%} "
        f"after Holm over the activations of the cell. {equal}All else is not "
        "resolved; of what lost seeds by divergence nothing is said. The exact sign-flip p stands beside it for those "
        f"who doubt that the differences are normal: of {seeds} seeds it is at least {2.0 ** (1 - seeds):.2g} before "
        f"any correction. More seeds: about how many would settle it the next time with a power of {POWER:.0%}, at "
        "the strictest step of Holm, if mean and spread stay."
    )


def _sign_flips(comparisons: Comparisons, cells: Cells) -> dict[Point, float]:
    """Sign-flip p of every tested difference, after Holm over the activations of its cell."""
    adjusted: dict[Point, float] = {}
    for family in by_place(c for c in cells if c.q is not None).values():
        differences = {c: comparisons.grid.differences(c.point, c.against, c.metric) for c in family}
        looks = comparisons.grid.looks(family[0].benchmark)
        corrected = holm_of({
            c: 1.0 if c.diverged else over_looks(sign_flip(list(d.values())), look_of(d, looks))
            for c, d in differences.items()
            if len(d) <= MOST_PAIRS
        })  # fmt: skip
        adjusted |= {c.point: p for c, p in corrected.items() if not c.diverged}
    return adjusted


def _diverged(point: Point) -> str:
    bad = Counter(r.status for r in point.records if r.status is not Status.OK)
    others = [f"{n} {status.words}" for status, n in bad.items() if status is not Status.DIVERGED]
    return ", ".join([f"{bad[Status.DIVERGED]} of {len(point.records)}", *others])
