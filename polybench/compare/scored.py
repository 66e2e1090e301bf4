"""Scores on tasks become measurements of the trainings that made the models, and are compared as losses are."""

from __future__ import annotations

from collections import defaultdict

from polybench.compare.derive import extended
from polybench.metric import Metric
from polybench.record import Measurement, Record, Status
from polybench.run.store import Run
from polybench.score import Score


def with_scores(run: Run) -> Run:
    """The run with a metric for each task that its models were asked.

    What was asked otherwise than the model that was asked last is left out; so is what a training that did not end
    well has scored.
    """
    asked = asked_last(run)
    if not asked:
        return run
    added: dict[str, list[Measurement]] = {}
    named: dict[str, dict[str, Metric]] = defaultdict(dict)
    for record in run.records:
        scores = [s for s in scores_of(run, record) if s.asked == asked[s.name].asked]
        if scores and record.status is Status.OK:
            added[record.trial.id] = [Measurement(s.name, (s.value,)) for s in scores]
            named[record.trial.cell.kind] |= {s.name: s.as_metric() for s in scores}
    return extended(run, added, {kind: tuple(metrics.values()) for kind, metrics in named.items()})


def asked_last(run: Run) -> dict[str, Score]:
    """By name the score that was kept last, which says what is asked."""
    return {s.name: s for scores in run.scores.values() for s in scores}


def scores_of(run: Run, record: Record) -> tuple[Score, ...]:
    """Those of the model that it trained, or that was trained in its place."""
    return run.scores.get(record.trial.id) or run.scores.get(record.same_as, ())
