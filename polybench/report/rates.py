"""What tuning found: each activation's best learning rate, how sure it is, and what missing it costs."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Group
from polybench.compare.rates import Beside, BySeed, Tried, beside_best, tunings
from polybench.document import ABSENT, Column, Entry, Figure, Series, Table
from polybench.metric import Metric
from polybench.plan.tuning import TUNING, Losses, at_edge, best_rate, close, shared_rate, sound
from polybench.report import bands
from polybench.report.section import Section
from polybench.report.wording import (
    head_columns,
    head_entries,
    held_constant,
    key_of,
    sentences,
    show,
    title_of,
    varying_axes,
    verdict_word,
)
from polybench.run.store import Run
from polybench.stats import ALPHA, CONFIDENCE_SEED
from polybench.trial import Cell

_EDGES = {"low": "lowest tried", "high": "highest tried", "": ""}
_ALL = "all, on average"  # the row of the shared rate


def section(comparisons: Comparisons) -> Section:
    """For each tuning benchmark the best rates, how the others differ from them, and a picture of the losses."""
    places = tunings(comparisons)
    benchmarks: dict[str, dict[Cell, Tried]] = defaultdict(dict)
    for (benchmark, place), tuning in places.items():
        benchmarks[benchmark][place] = tuning
    return Section(
        tables=tuple(t for name, tried in benchmarks.items() for t in _tables(comparisons.stored, name, tried)),
        figures=tuple(_figures(comparisons, places)),
        notes=tuple(_twice_told(comparisons.stored)),
    )


def _twice_told(run: Run) -> Iterator[str]:
    """Where one training stands in two cells, since their rates are one."""
    twins = [r.trial for r in run.records if r.same_as]
    for benchmark, count in Counter(t.benchmark for t in twins).items():
        names = ", ".join(dict.fromkeys(t.cell.activation for t in twins if t.benchmark == benchmark))
        yield (
            f"{benchmark}: the tuned rate of {names} is the shared one, so one training serves both cells, "
            f"{count} of them in all; the second cell is no further evidence."
        )


def _tables(run: Run, benchmark: str, places: Mapping[Cell, Tried]) -> Iterator[Table]:
    metric = next(iter(places.values())).metric
    varying, same = varying_axes(list(places))
    tried = sorted({rate for t in places.values() for losses in t.losses.values() for rate in losses})
    names, bests, every = head_columns(varying), [], []
    for place, tuning in places.items():
        for name, by_seed, best in _rows(tuning):
            head = head_entries(place.of(name), varying)
            beside = beside_best(by_seed, best) if best else {}
            bests.append((*head, *_best(by_seed, best, beside)))
            every.append((*head, *(_entry(by_seed, rate, best, beside) for rate in tried)))
    yield Table(
        key=f"{benchmark}-rates".replace(".", "-"),
        title=f"Learning rates ({benchmark})",
        caption=f"On {', '.join([run.device, *same])}. {_rule(run, benchmark, metric, places)}",
        columns=(
            *names, Column("best rate"), Column("loss there", metric.unit, metric.definition),
            Column("half the rate", metric.unit), Column("double the rate", metric.unit), Column("edge"),
        ),
        rows=tuple(bests),
    )  # fmt: skip
    yield Table(
        key=benchmark.replace(".", "-"),
        title=f"{benchmark}: every learning rate beside the best",
        caption=f"{metric.name} in {metric.unit} less that at the best rate of the row, and words, as in the table "
        "of learning rates.",
        columns=(*names, *(Column(f"{rate:g}") for rate in tried)),
        rows=tuple(every),
        notes=tuple(
            f"{p.cell.activation} at {p.cell.axis('lr'):g}: {p.trouble()}"
            for t in places.values()
            for p in t.points
            if p.trouble()
        ),
    )


def _rows(tuning: Tried) -> Iterator[tuple[str, BySeed, float | None]]:
    """Each activation with its losses and its best rate, and where there are several their means."""
    for name, by_seed in tuning.by_seed.items():
        yield name, by_seed, best_rate(tuning.losses[name])
    if len(tuning.by_seed) > 1:
        yield _ALL, tuning.mean_by_seed, shared_rate(tuning.losses)


def _rule(run: Run, benchmark: str, metric: Metric, places: Mapping[Cell, Tried]) -> str:
    """How the best was found, and what the words beside the other rates mean."""
    seeds = max(len(p.records) for t in places.values() for p in t.points)
    told = (
        f"Differences from the best rate are paired by tuning seed and carry {CONFIDENCE_SEED:.0%} t intervals; told "
        f"apart is what has a p of at most {ALPHA:.0%} after Holm over every pair of rates of the row, since the best "
        "was seen first. It was chosen on these very seeds, which flatters it."
        if seeds > 1
        else "One seed tells no rate from another."
    )
    return (
        f"The best rate has the least mean {metric.name} over {seeds} tuning seed{'s' * (seeds > 1)}, "
        f"{_fresh(run, benchmark)}; a rate at which a seed diverged or failed, or that was not tried with every seed, "
        f"does not count. {_ALL.capitalize()}: the shared rate. {told} At an edge, a better rate may lie beyond."
    )


def _fresh(run: Run, benchmark: str) -> str:
    """Whether the comparison has seeds that its rates were not chosen on, which would flatter the chosen."""
    seeds = [{r.trial.seed for r in run.records if r.trial.benchmark == name}
             for name in (benchmark, benchmark.removesuffix(TUNING))]  # fmt: skip
    both = sorted(set.intersection(*seeds))
    return f"of which {', '.join(map(str, both))} are compared too" if both else "none of which is compared"


def _best(by_seed: BySeed, best: float | None, beside: Mapping[float, Beside]) -> tuple[Entry, ...]:
    """Best rate, loss there, how half and double of it differ, edge."""
    if best is None:
        return (Entry("none"), *(Entry(ABSENT) for _ in range(4)))
    doubtful = [f"{r:g}" for r, b in beside.items() if close(r, best) and b.p is not None and not b.told]
    words = f"{best:g}, not told from {' and '.join(doubtful)}" if doubtful else f"{best:g}"
    loss = fmean(by_seed[best].values())
    sides = (_at(by_seed, best * factor) for factor in (0.5, 2.0))
    return (
        Entry(words, best), Entry(f"{loss:.4f}", loss), *(_entry(by_seed, rate, best, beside) for rate in sides),
        Entry(_EDGES[at_edge(best, by_seed)]),
    )  # fmt: skip


def _at(by_seed: BySeed, rate: float) -> float | None:
    """The rate that was tried there, however it was rounded."""
    return next((tried for tried in by_seed if math.isclose(tried, rate, rel_tol=1e-3)), None)


def _entry(by_seed: BySeed, rate: float | None, best: float | None, beside: Mapping[float, Beside]) -> Entry:
    """How a rate differs from the best one, or why that is not known."""
    losses = [*by_seed.get(rate, {}).values()] if rate else []
    if lost := sum(not math.isfinite(v) for v in losses):
        return Entry(f"{lost} of {len(losses)} lost")
    if rate == best and losses:
        return Entry("0", 0.0, best=True)
    found = beside.get(rate or 0.0)
    if found is None:
        return Entry(ABSENT)
    change, word = found.change, "" if found.p is None else verdict_word(found.p, better=found.change.value < 0)
    return Entry(show(change, signed=True), change.value, change.low, change.high, outcome=word)


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
