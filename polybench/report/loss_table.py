"""Losses seed by seed: one table a benchmark and budget, with both tests of every paired difference."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence

from polybench.compare.comparison import Comparison, across
from polybench.compare.elsewhere import NAMED
from polybench.compare.grid import Grid, Point, of_seeds, seed_differences
from polybench.document import Column, Entry, Table
from polybench.metric import Metric, significant
from polybench.report.table import change_entry, field_of, status_word, varying_axes
from polybench.run.store import Run
from polybench.stats import ALPHA, CONFIDENCE_SEED, MOST_PAIRS, holm, sign_flip
from polybench.trial import Cell

# Metric -> what its table is about, after the name of the benchmark.
TITLES = {
    "val_loss": "held-out loss at equal tokens, by seed",
    "equal_time_loss": "held-out loss at equal training time, by seed",
    "equal_flops_loss": "held-out loss at equal training FLOPs, by seed",
    "final_train_loss": "training loss, by seed",
}
_MEASURED = ("val_loss", "final_train_loss")  # not derived: their tables tell why a trial is missing


def titles(run: Run) -> dict[str, str]:
    """What each loss of a run is about, by its metric."""
    names = dict.fromkeys(m for ms in run.metrics.values() for m in ms if m.startswith(NAMED))
    return {**TITLES, **{name: f"{name}, by seed" for name in names}}


def loss_tables(run: Run) -> tuple[Table, ...]:
    """A table for every loss in every benchmark; `run` went through `points.compared` and `derive.with_derived`."""
    grid = Grid(run)
    found: dict[tuple[str, str], list[Comparison]] = defaultdict(list)
    for metric in titles(run):
        for comparison in across(run, only=metric):
            found[comparison.point.benchmark, metric].append(comparison)
    kept = {key: cs for key, cs in found.items() if any(c.value is not None for c in cs)}
    order = [b["name"] for b in run.suite["benchmarks"]]
    places = sorted(kept, key=lambda key: order.index(key[0]) if key[0] in order else len(order))
    first = dict(reversed(places))
    return tuple(_table(run, grid, *key, kept[key], first[key[0]]) for key in places)


def _table(run: Run, grid: Grid, benchmark: str, name: str, found: Sequence[Comparison], first: str) -> Table:
    metric, reference = found[0].metric, run.suite["reference"]
    varying, shared = varying_axes([c.cell for c in found])
    flips = _sign_flips(grid, found)
    columns = (
        Column("activation", numeric=False),
        *(Column(axis, numeric=False) for axis in varying),
        Column(metric.name, metric.unit, metric.definition),
        Column("sd over seeds", metric.unit),
        Column(f"less {reference}'s", metric.unit),
        Column("t p (Holm)"),
        Column("sign-flip p (Holm)"),
        Column("n"),
        Column("more seeds"),
        Column("diverged"),
    )
    rows = []
    for c in found:
        values, tested = of_seeds(c.point, name), c.q is not None
        rows.append((
            Entry(c.cell.activation), *(Entry(field_of(c.cell, axis)) for axis in varying),
            Entry(f"{c.value:.4f}", c.value) if c.value is not None else Entry(status_word(c.point)),
            number(statistics.stdev(values)) if len(values) > 1 else Entry("–"),
            change_entry(c, reference),
            p_entry(c.q if tested else None), p_entry(flips.get(c.point)),
            Entry(str(c.change.n if c.change else len(values))),
            Entry(c.settle.replace(" more seeds", "").replace(" more seed", "")),
            Entry(_diverged(c.point)),
        ))  # fmt: skip
    lost = {c.cell.activation: c.point.trouble() for c in found if c.point.trouble()} if name in _MEASURED else {}
    return Table(
        key=f"{benchmark}-{name.replace('_', '-')}",
        title=f"{benchmark}: {titles(run)[name]}",
        caption=_caption(reference, [run.header["device"], *shared], max(len(c.point.records) for c in found))
        if name == first
        else f"{metric.definition} Cells and rule as in {benchmark}: {titles(run)[first]}.",
        columns=columns,
        rows=tuple(rows),
        notes=tuple(f"{who}: {why}" for who, why in lost.items()),
    )


def _caption(reference: str, shared: Sequence[str], seeds: int) -> str:
    return (
        f"On {', '.join(shared)}. Differences from {reference} are paired by seed and carry {CONFIDENCE_SEED:.0%} t "
        f"intervals. Better or worse is what has an interval that excludes 0 and a t p of at most {ALPHA:.0%} after "
        "Holm over the activations of the cell; all else is not resolved. The exact sign-flip p stands beside it for "
        f"those who doubt that the differences are normal: of {seeds} seeds it is at least {2.0 ** (1 - seeds):.2g} "
        "before Holm. More seeds: about how many would pass the strictest step of Holm, if mean and spread stay."
    )


def _sign_flips(grid: Grid, found: Sequence[Comparison]) -> dict[Point, float]:
    """Sign-flip p of every tested difference, after Holm over the activations of its cell."""
    families: dict[Cell, list[Point]] = defaultdict(list)
    for c in found:
        if c.q is not None and len(differences(grid, c)) <= MOST_PAIRS:
            families[c.cell.beside("")].append(c.point)
    of = {c.point: c for c in found}
    adjusted: dict[Point, float] = {}
    for members in families.values():
        adjusted |= zip(members, holm([sign_flip(differences(grid, of[p])) for p in members]), strict=True)
    return adjusted


def differences(grid: Grid, comparison: Comparison) -> list[float]:
    """The paired differences that a comparison rests on."""
    return differences_of(grid, comparison.point, comparison.against, comparison.metric)


def differences_of(grid: Grid, point: Point, against: str, metric: Metric) -> list[float]:
    """value - other of every seed that both activations finished; none without the other."""
    other = grid.beside(point, against)
    return seed_differences(point, other, metric) if other else []


def _diverged(point: Point) -> str:
    bad = Counter(r.status.value.replace("_", " ") for r in point.records if r.status != "ok")
    others = [f"{n} {status}" for status, n in bad.items() if status != "diverged"]
    return ", ".join([f"{bad['diverged']} of {len(point.records)}", *others])


def p_entry(p: float | None) -> Entry:
    """A p value to two digits, nothing below a thousandth told apart."""
    if p is None or not math.isfinite(p):
        return Entry("–")
    return Entry("< 0.001" if p < 1e-3 else f"{p:.2g}" if p < 0.995 else "1", p)


def number(value: float) -> Entry:
    return Entry(significant(value, 2), value)
