"""Losses by seed, and where their spread comes from."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence

from polybench.compare.comparison import Comparison, across
from polybench.compare.derive import NAMED
from polybench.compare.grid import Grid, Point, differences_of, of_seeds
from polybench.document import Column, Entry, Table
from polybench.report.wording import change_entry, field_of, number, p_entry, show, status_word, varying_axes
from polybench.run.store import Run
from polybench.stats import ALPHA, CONFIDENCE_SEED, MOST_PAIRS, Estimate, holm, sign_flip
from polybench.trial import Cell

SOURCES = {"init": "initial values", "data": "data order", "both": "both"}
_SPREAD_LOSSES = ("val_loss", "final_train_loss")

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
    return tuple(_loss_table(run, grid, *key, kept[key], first[key[0]]) for key in places)


def _loss_table(run: Run, grid: Grid, benchmark: str, name: str, found: Sequence[Comparison], first: str) -> Table:
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
            families[c.cell.place].append(c.point)
    of = {c.point: c for c in found}
    adjusted: dict[Point, float] = {}
    for members in families.values():
        adjusted |= zip(members, holm([sign_flip(differences(grid, of[p])) for p in members]), strict=True)
    return adjusted


def differences(grid: Grid, comparison: Comparison) -> list[float]:
    """The paired differences that a comparison rests on."""
    return differences_of(grid, comparison.point, comparison.against, comparison.metric)


def _diverged(point: Point) -> str:
    bad = Counter(r.status.value.replace("_", " ") for r in point.records if r.status != "ok")
    others = [f"{n} {status}" for status, n in bad.items() if status != "diverged"]
    return ", ".join([f"{bad['diverged']} of {len(point.records)}", *others])


def deviation(values: Sequence[float], confidence: float = CONFIDENCE_SEED) -> Estimate | None:
    """Standard deviation with its chi-square interval; None for fewer than two values.

    sqrt(sum of squares / chi2 quantile of n - 1 degrees of freedom), exact for normal values.
    """
    from scipy.special import chdtri

    n = len(values)
    if n < 2:
        return None
    found, tail = statistics.stdev(values), (1 - confidence) / 2
    low, high = (found * math.sqrt((n - 1) / float(chdtri(n - 1, p))) for p in (tail, 1 - tail))
    return Estimate(found, low, high, n)


def spread_tables(run: Run) -> tuple[Table, ...]:
    """A table for each benchmark whose cells differ in the axis `varies`; `run` still holds them all."""
    grid = Grid(run)
    found: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in grid.cells.values():
        for loss in _SPREAD_LOSSES:
            if dict(point.cell.axes).get("varies") in SOURCES and of_seeds(point, loss):
                found[point.benchmark, loss].append(point)
    apart = {key: [p for p in ps if len(_sources(p, ps)) > 1] for key, ps in found.items()}
    return tuple(_spread_table(run, grid, *key, ps) for key, ps in apart.items() if ps)


def _sources(point: Point, found: Sequence[Point]) -> set[object]:
    """What the seed moves in all points that differ from this in nothing else."""
    here = _but_varies(point)
    return {p.cell.axis("varies") for p in found if _but_varies(p) == here}


def _but_varies(point: Point) -> dict[str, object]:
    """A cell but for what the seed moves."""
    return {**point.cell.to_json(), "axes": {k: v for k, v in point.cell.axes if k != "varies"}, "id": ""}


def _spread_table(run: Run, grid: Grid, benchmark: str, loss: str, found: Sequence[Point]) -> Table:
    metric, reference = run.metrics[found[0].cell.kind][loss], run.suite["reference"]
    varying, shared = varying_axes([p.cell for p in found])
    axes = [a for a in varying if a != "varies"]
    order, rows = list(SOURCES), []
    places = [{**_but_varies(p), "activation": ""} for p in found]
    rank = {
        p: (places.index(place), order.index(str(p.cell.axis("varies"))))
        for p, place in zip(found, places, strict=True)
    }
    for point in sorted(found, key=rank.__getitem__):
        where = (Entry(field_of(point.cell, axis)) for axis in axes)
        apart = [] if point.cell.activation == reference else differences_of(grid, point, reference, metric)
        own = of_seeds(point, loss)
        rows.append((
            Entry(point.cell.activation), *where, Entry(SOURCES[str(point.cell.axis("varies"))]),
            _entry(own), Entry(str(len(own))), _entry(apart),
        ))  # fmt: skip
    return Table(
        key=f"{benchmark}-spread",
        title=f"{benchmark}: where the spread comes from",
        caption=f"On {', '.join([run.header['device'], *shared])}. Standard deviation over seeds of {loss}, where the "
        f"seed moves the initial values, the order of the data, or both, with {CONFIDENCE_SEED:.0%} chi-square "
        f"intervals, which hold for normal losses. The difference from {reference} of the same seed is what a "
        "comparison has to be told from.",
        columns=(
            Column("activation", numeric=False), *(Column(axis, numeric=False) for axis in axes),
            Column("the seed moves", numeric=False), Column("sd of the loss", metric.unit, metric.definition),
            Column("n"), Column(f"sd of the difference from {reference}", metric.unit),
        ),
        rows=tuple(rows),
        notes=tuple(f"{p.cell.activation}, {p.cell.axis('varies')}: {p.trouble()}" for p in found if p.trouble()),
    )  # fmt: skip


def _entry(values: Sequence[float]) -> Entry:
    found = deviation([v for v in values if math.isfinite(v)])
    return Entry(show(found), found.value, found.low, found.high) if found else Entry("–")
