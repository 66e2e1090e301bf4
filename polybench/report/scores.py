"""Scores of trained models on tasks: of one model, and of all activations side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, of_seeds
from polybench.compare.scored import asked_last, scores_of
from polybench.document import ABSENT, Column, Entry, Table
from polybench.report.section import Section
from polybench.report.wording import change_entry, head_columns, head_entries, name_of, remedies, show, varying_axes
from polybench.run.scores import SCORES_FILE
from polybench.run.store import Run
from polybench.score import Score
from polybench.stats import ALPHA, CONFIDENCE_SEED, paired
from polybench.trial import Trial

KEY = "scores"  # how such a table is called, behind its benchmark


def section(comparisons: Comparisons) -> Section:
    """A table for each benchmark whose models were asked anything."""
    tables, metrics = tuple(side_by_side(comparisons)), frozenset(asked_last(comparisons.run))
    return Section(tables=tables, metrics=metrics, notes=tuple(_strange(comparisons.stored)))


def _strange(run: Run) -> Iterator[str]:
    """Scores of models that the run did not train, as where the file is that of another one."""
    trained = {id_ for r in run.records for id_ in (r.trial.id, r.same_as)}
    if strange := sum(id_ not in trained for id_ in run.scores):
        yield (
            f"Left out: the scores of {strange} models in {run.path / SCORES_FILE} that this run did not train; take "
            "their lines out, or ask its own by `polybench eval`."
        )


def table_of(trial: Trial, scores: Sequence[Score]) -> Table:
    """One model's scores, a row each."""
    names = ("value", "stderr", "chance", "documents")
    columns = (Column("task", numeric=False), Column("metric", numeric=False), *map(Column, names))
    rows = tuple(
        (
            Entry(s.task),
            Entry(s.metric),
            Entry(_number(s.value), s.value),
            Entry(ABSENT if s.stderr is None else _number(s.stderr), s.stderr),
            _chance(s),
            _count(s),
        )
        for s in scores
    )
    title = f"{trial.cell.activation}, seed {trial.seed} of {trial.benchmark}"
    return Table(KEY, title, _asked(scores), columns, rows)


def side_by_side(comparisons: Comparisons) -> Iterator[Table]:
    """A table a benchmark: every task that was asked, and every activation beside the reference."""
    asked = asked_last(comparisons.run)
    for benchmark in comparisons.run.suite.benchmarks:
        cells = {
            name: {p: c for p, c in comparisons.to_reference(name).items() if p.benchmark == benchmark.name}
            for name in asked
        }
        cells = {name: of for name, of in cells.items() if any(c.value is not None for c in of.values())}
        if cells:
            yield _table(comparisons, benchmark.name, {asked[name]: [*of.values()] for name, of in cells.items()})


def _table(comparisons: Comparisons, benchmark: str, cells: dict[Score, list[Comparison]]) -> Table:
    every = [c for of in cells.values() for c in of]
    varying, _ = varying_axes([c.cell for c in every])
    columns = (
        Column("task", numeric=False),
        *head_columns(varying),
        Column("score"),
        Column("chance"),
        Column(f"less {comparisons.reference}'s"),
        Column("seeds"),
        Column("documents"),
    )
    rows = []
    for score, of in cells.items():
        for c in of:
            values = of_seeds(c.point, score.name, signed=True)
            mean = paired(values) if values else None
            rows.append((
                Entry(score.name),
                *head_entries(c.cell, varying),
                Entry(show(mean), mean.value, mean.low, mean.high) if mean else Entry(ABSENT),
                _chance(score),
                change_entry(c, comparisons.reference),
                Entry(str(len(values)), len(values)),
                _count(score),
            ))  # fmt: skip
    caption = (
        f"Means over seeds, and differences paired by seed, with {CONFIDENCE_SEED:.0%} t intervals, which tell of "
        f"other seeds, not of other questions. A difference is better or worse where its p, which counts the "
        f"looks, survives Holm ({ALPHA:.0%}) over the activations of its task. {_asked([*cells])}"
    )
    settle = {
        score.name: [
            (name_of(c.point, varying), c.settle)
            for c in of
            if c.outcome == "unresolved" and c.settle and not _equal(c)
        ]
        for score, of in cells.items()
    }
    notes = [
        *_left_out(comparisons, [c.point for c in every]),
        *remedies({n: some for n, some in settle.items() if some}),
    ]
    return Table(f"{benchmark}-{KEY}", f"{benchmark}: scores on tasks", caption, columns, tuple(rows), tuple(notes))


def _equal(comparison: Comparison) -> bool:
    """Whether both scored alike with every seed, as where a task is too hard, which no more seeds would settle."""
    return comparison.change is not None and comparison.change.low == comparison.change.high == 0


def _left_out(comparisons: Comparisons, points: Sequence[Point]) -> Iterator[str]:
    """Scores that nobody compares, since other questions were asked."""
    run = comparisons.run
    asked = asked_last(run)
    records = {r.trial.id: r for p in points for r in p.records}.values()
    others = [s for r in records for s in scores_of(run, r) if s.asked != asked[s.name].asked]
    if others:
        names = ", ".join(sorted({s.name for s in others}))
        yield (
            f"Left out: {len(others)} of {names}, asked otherwise than the model that was asked last (another version, "
            "data, limit or number of examples); `polybench eval` on the run asks all alike."
        )


def _asked(scores: Sequence[Score]) -> str:
    """What stands before each question."""
    return f"Examples before the question: {', '.join(map(str, sorted({s.shots for s in scores})))}."


def _count(score: Score) -> Entry:
    return Entry(ABSENT if score.n is None else str(score.n), score.n)


def _chance(score: Score) -> Entry:
    return Entry(ABSENT if score.chance is None else f"{score.chance:g}", score.chance)


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.6g}"
