"""Scores of trained models on tasks: of one model, and of activations side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from polybench.compare.grid import Grid
from polybench.compare.points import by_place, lost
from polybench.compare.seeds import Looks, look_of, p_over_looks
from polybench.corrections import holm_of, resolves
from polybench.document import Column, Entry, Table
from polybench.measure.tasks import Score
from polybench.plan.suite import Suite
from polybench.report.wording import remedies, show, varying_axes
from polybench.stats import ALPHA, CONFIDENCE_SEED, paired
from polybench.stopping import MOST_SEEDS, more_seeds
from polybench.trial import Cell, Trial


@dataclass(frozen=True)
class ScoredModel:
    """A model of a run, and what it scored."""

    trial: Trial
    scores: tuple[Score, ...]

    @property
    def benchmark(self) -> str:
        return self.trial.benchmark

    @property
    def cell(self) -> Cell:
        return self.trial.cell


def table_of(trial: Trial, scores: Sequence[Score]) -> Table:
    """One model's scores, a row each."""
    names = ("value", "stderr", "n")
    columns = (Column("task", numeric=False), Column("metric", numeric=False), *map(Column, names))
    rows = tuple(
        (
            Entry(s.task),
            Entry(s.metric),
            Entry(_number(s.value), s.value),
            Entry("–" if s.stderr is None else _number(s.stderr), s.stderr),
            Entry("–" if s.n is None else str(s.n), s.n),
        )
        for s in scores
    )
    title = f"{trial.cell.activation}, seed {trial.seed} of {trial.benchmark}"
    return Table("scores", title, _shots(scores), columns, rows)


def side_by_side(scored: Sequence[ScoredModel], reference: str, grid: Grid | None = None) -> tuple[Table, ...]:
    """A table for all models that differ by activation and seed alone, with paired differences to the reference.

    Of the run that kept them, the `grid` knows its looks, and which trainings diverged and so left no model.
    """
    groups = by_place(scored)
    cells = [cell for _, cell in groups]
    varying = varying_axes(cells)[0]
    grid = grid or Grid((), Suite.model_construct(benchmarks=[]))
    return tuple(_scores(name, cell, models, reference, varying, grid) for (name, cell), models in groups.items())


def _scores(
    name: str, cell: Cell, group: Sequence[ScoredModel], reference: str, varying: Sequence[str], grid: Grid
) -> Table:
    activations = list(dict.fromkeys(s.cell.activation for s in group))
    points = {a: point for a in activations if (point := grid.cells.get((name, cell.of(a))))}
    base = points.get(reference)
    gone = {a: lost(p, base or p) for a, p in points.items()}
    kinds = {s.column: s for one in group for s in one.scores}
    columns, notes = [Column("activation", numeric=False), Column("seeds")], []
    rows = [[Entry(a), Entry(str(len({s.trial.seed for s in group if s.cell.activation == a})))] for a in activations]
    for column, kind in kinds.items():
        values = {a: _by_seed(group, a, column) for a in activations}
        columns += [Column(column), Column(f"{column} less {reference}'s")]
        changes, settle = _changes(values, reference, kind, gone, grid.looks(name))
        for row, activation in zip(rows, activations, strict=True):
            own = values[activation].values()
            row.append(Entry(_number(statistics.fmean(own)), statistics.fmean(own)) if own else Entry("–"))
            row.append(changes.get(activation, Entry("–")))
        notes += remedies({column: settle} if settle else {})
    axes = {"backend": cell.backend, "dtype": cell.dtype, **dict(cell.axes)}
    told = "".join(f", {axis} {axes[axis]}" for axis in varying if axis in axes)
    caption = (
        f"Means over seeds; differences are paired by seed, with {CONFIDENCE_SEED:.0%} t intervals. Their p counts the "
        f"looks and survives Holm's correction ({ALPHA:.0%}) over their column, or they are not resolved. "
        f"{_shots(list(kinds.values()))}"
    )
    return Table(f"scores-{name}", f"{name}{told}", caption, tuple(columns), tuple(map(tuple, rows)), tuple(notes))


def _by_seed(group: Sequence[ScoredModel], activation: str, column: str) -> dict[int, float]:
    return {
        one.trial.seed: s.value
        for one in group
        for s in one.scores
        if one.cell.activation == activation and s.column == column
    }


def _changes(
    values: dict[str, dict[int, float]], reference: str, kind: Score, gone: dict[str, str], looks: Looks
) -> tuple[dict[str, Entry], list[tuple[str, str]]]:
    """Differences to the reference, and how many more seeds would settle those that are not."""
    base = values.get(reference, {})
    pairs = {a: {s: v - base[s] for s, v in own.items() if s in base} for a, own in values.items() if a != reference}
    pairs = {a: differences for a, differences in pairs.items() if differences}
    p_values = holm_of({a: 1.0 if gone.get(a) else p_over_looks(d, looks) for a, d in pairs.items()})
    entries, settle = {reference: Entry("0", outcome=gone.get(reference, ""))} if base else {}, []
    for activation, differences in pairs.items():
        change = paired(list(differences.values()))
        if gone.get(activation):
            outcome = gone[activation]
        elif change.low == change.high == 0:
            outcome = "same"
        elif not resolves(p_values[activation]):
            outcome = "not resolved"
            more = more_seeds(list(differences.values()), len(pairs), 0.0, look_of(differences, looks) + 1)
            told = "2 more seeds at least" if change.n < 2 else str(more or f"over {MOST_SEEDS} more seeds")
            settle.append((activation, told))
        else:
            outcome = "" if kind.better == "neither" else _word(change.value > 0, kind.better == "higher")
        entries[activation] = Entry(show(change, signed=True), change.value, change.low, change.high, outcome=outcome)
    return entries, settle


def _word(rose: bool, higher: bool) -> str:
    return "better" if rose == higher else "worse"


def _shots(scores: Sequence[Score]) -> str:
    shots = sorted({s.shots for s in scores})
    return f"Examples before the question: {', '.join(map(str, shots))}." if scores else ""


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"
