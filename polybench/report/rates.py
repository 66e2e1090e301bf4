"""What tuning found: each activation's best learning rate, how sure it is, and what missing it costs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Group, Point
from polybench.document import Column, Entry, Figure, Series, Table
from polybench.kind import registered
from polybench.metric import Metric
from polybench.plan.tuning import TUNING, Losses, at_edge, best_rate, shared_rate, sound
from polybench.report import bands
from polybench.report.section import Section
from polybench.report.wording import (
    field_of,
    head_columns,
    head_entries,
    held_constant,
    key_of,
    sentences,
    title_of,
    varying_axes,
)
from polybench.run.store import Run
from polybench.trial import Cell

_EDGES = {"low": "lowest tried", "high": "highest tried", "": ""}


@dataclass(frozen=True)
class Tried:
    """All that was tried at one place."""

    metric: Metric
    points: tuple[Point, ...]

    @cached_property
    def losses(self) -> dict[str, dict[float, list[float]]]:
        """The losses of the seeds by activation and rate, nan for a seed that was lost."""
        tried: dict[str, dict[float, list[float]]] = defaultdict(dict)
        for point in self.points:
            kept = [fmean(m.values) for r in point.ok() if (m := r.get(self.metric.name))]
            lost = [math.nan] * (len(point.records) - len(kept))
            tried[point.cell.activation][float(point.cell.axis("lr"))] = [*kept, *lost]
        return dict(tried)


def section(comparisons: Comparisons) -> Section:
    """For each tuning benchmark the best rates, the mean loss at every rate that was tried, and pictures of both."""
    places = tunings(comparisons)
    benchmarks: dict[str, dict[Cell, Tried]] = defaultdict(dict)
    for (benchmark, place), tuning in places.items():
        benchmarks[benchmark][place] = tuning
    return Section(
        tables=tuple(t for name, tried in benchmarks.items() for t in _tables(comparisons.stored, name, tried)),
        figures=tuple(_figures(comparisons, places)),
    )


def tunings(comparisons: Comparisons) -> dict[Group, Tried]:
    """By benchmark and by cell without activation and rate, of the benchmarks that tune."""
    places: dict[Group, list[Point]] = defaultdict(list)
    for point in comparisons.whole.cells.values():
        rate = dict(point.cell.axes).get("lr")
        if point.benchmark.endswith(TUNING) and isinstance(rate, int | float):
            places[point.benchmark, _anywhere(point.cell)].append(point)
    objectives = {group: _objective(comparisons, group[1].kind) for group in places}
    return {group: Tried(metric, tuple(places[group])) for group, metric in objectives.items() if metric}


def _objective(comparisons: Comparisons, name: str) -> Metric | None:
    """What the rates of a kind were chosen by; of a kind that is not here any more its loss."""
    kind = registered(name)
    chosen = comparisons.run.metrics[name].get(kind.objective) if kind else None
    return chosen or comparisons.loss(name)


def _tables(run: Run, benchmark: str, places: Mapping[Cell, Tried]) -> Iterator[Table]:
    first = next(iter(places.values())).metric
    varying, same = varying_axes(list(places))
    tried = sorted({rate for t in places.values() for losses in t.losses.values() for rate in losses})
    names = head_columns(varying)
    bests, every, notes = [], [], []
    for place, tuning in places.items():
        for activation, losses in tuning.losses.items():
            head, best = head_entries(place.of(activation), varying), best_rate(losses)
            bests.append((*head, *_best(losses)))
            every.append((*head, *(_mean(losses.get(r), best=r == best) for r in tried)))
        shared = shared_rate(tuning.losses)
        told = f"{shared:g}" if shared else "none: no rate was survived by all of them"
        common = set.intersection(*map(set, tuning.losses.values())) if tuning.losses else set()
        edge = {"low": "lowest", "high": "highest", "": ""}[at_edge(shared, common) if shared else ""]
        told += f", the {edge} that all of them tried" if edge else ""
        where = _told([field_of(place, axis) for axis in varying])
        notes.append(f"Shared rate, best on average over the activations{where}: {told}.")
    seeds = max(len(p.records) for t in places.values() for p in t.points)
    yield Table(
        key=f"{benchmark}-rates".replace(".", "-"),
        title=f"Learning rates ({benchmark})",
        caption=f"On {', '.join([run.device, *same])}. The best rate has the least mean {first.name} over "
        f"{seeds} tuning seed{'s' * (seeds > 1)}, {_fresh(run, benchmark)}; a rate at which a seed diverged or failed "
        "does not count. Sensitivity: the larger rise of the loss when the rate is halved or doubled, as far as these "
        "were tried. At an edge, a better rate may lie beyond.",
        columns=(
            *names, Column("best rate"), Column("loss there", first.unit, first.definition),
            Column("at half", first.unit), Column("at double", first.unit), Column("sensitivity", first.unit),
            Column("edge"),
        ),
        rows=tuple(bests),
        notes=tuple(notes),
    )  # fmt: skip
    yield Table(
        key=benchmark.replace(".", "-"),
        title=f"{benchmark}: loss at every learning rate",
        caption=f"Mean {first.name} in {first.unit} over the tuning seeds. Bold: the best of its row.",
        columns=(*names, *(Column(f"{rate:g}") for rate in tried)),
        rows=tuple(every),
        notes=tuple(
            f"{p.cell.activation} at {p.cell.axis('lr'):g}: {p.trouble()}"
            for t in places.values()
            for p in t.points
            if p.trouble()
        ),
    )


def _fresh(run: Run, benchmark: str) -> str:
    """Whether the comparison has seeds that its rates were not chosen on, which would flatter the chosen."""
    seeds = [{r.trial.seed for r in run.records if r.trial.benchmark == name}
             for name in (benchmark, benchmark.removesuffix(TUNING))]  # fmt: skip
    both = sorted(set.intersection(*seeds))
    return f"of which {', '.join(map(str, both))} are compared too" if both else "none of which is compared"


def _best(losses: Losses) -> tuple[Entry, ...]:
    """Best rate, loss there, at half, at double, sensitivity, edge."""
    rate, means = best_rate(losses), sound(losses)
    if rate is None:
        return (Entry("none"), *(Entry("–") for _ in range(5)))
    half, double = (_at(losses, rate * factor) for factor in (0.5, 2.0))
    rises = [fmean(values) - means[rate] for values in (half, double) if values]
    risk = max(rises, default=math.nan) if all(map(math.isfinite, rises)) else math.inf
    words = {math.inf: "diverges"} if math.isinf(risk) else {}
    told = Entry("–") if math.isnan(risk) else Entry(words.get(risk, f"{risk:.3f}"), risk)
    return (
        Entry(f"{rate:g}", rate), _mean(losses[rate]), _mean(half), _mean(double), told,
        Entry(_EDGES[at_edge(rate, losses)]),
    )  # fmt: skip


def _at(losses: Losses, rate: float) -> Sequence[float] | None:
    """The losses at a rate, however it was rounded."""
    return next((v for tried, v in losses.items() if math.isclose(tried, rate, rel_tol=1e-3)), None)


def _mean(values: Sequence[float] | None, best: bool = False) -> Entry:
    if not values:
        return Entry("–")
    lost = sum(not math.isfinite(v) for v in values)
    return Entry(f"{lost} of {len(values)} lost") if lost else Entry(f"{fmean(values):.4f}", fmean(values), best=best)


def _figures(comparisons: Comparisons, places: Mapping[Group, Tried]) -> Iterator[Figure]:
    """Loss against learning rate, a line an activation."""
    for group, tuning in places.items():
        metric = tuning.metric
        counts = [len(v) for losses in tuning.losses.values() for v in losses.values()]
        lines = [_line(name, losses, bands.few(counts)) for name, losses in tuning.losses.items()]
        lost = [
            f"{name} at {', '.join(f'{r:g}' for r in gone)}"
            for name, losses in tuning.losses.items()
            if (gone := sorted(set(losses) - set(sound(losses))))
        ]
        if not any(line.x for line in lines):
            continue
        yield Figure(
            key=key_of("rates", metric.name, group, places),
            kind="curves",
            title=title_of("Loss against learning rate", group, places),
            caption=sentences(
                metric.definition,
                bands.told(counts, max(counts) > 1),
                f"Left out, since a seed diverged or failed: {'; '.join(lost)}" if lost else "",
                held_constant(comparisons, group, tuning.points),
            ),
            x_label="Peak learning rate",
            y_label=f"{metric.heading}, {metric.unit}",
            series=tuple(line for line in lines if line.x),
            logarithmic="x",
        )


def _line(activation: str, losses: Losses, few: bool) -> Series:
    kept = {rate: losses[rate] for rate in sound(losses)}
    return bands.line(activation, kept, few, all(len(v) > 1 for v in kept.values()))


def _anywhere(cell: Cell) -> Cell:
    return replace(cell.place, axes=tuple((k, v) for k, v in cell.axes if k != "lr"))


def _told(where: Sequence[str]) -> str:
    return f" ({', '.join(where)})" if where else ""
