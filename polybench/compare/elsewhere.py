"""Losses on further corpora under the names of these, so that each is compared like any other loss."""

from __future__ import annotations

from dataclasses import replace

from polybench.metric import Metric
from polybench.record import Measurement, Record
from polybench.run.store import Run

NAMED = "loss on "  # how the name of such a metric begins
_MEASURED = "other_losses"  # of a record, in the order of its axis `eval_corpora`


def with_named_losses(run: Run) -> Run:
    """The run with a metric `loss on NAME` for each further corpus that its models were evaluated on."""
    found = {r.trial.id: _named(r) for r in run.records if r.get(_MEASURED)}
    if not found:
        return run
    metrics = {kind: list(known) for kind, known in run.header["metrics"].items()}
    for kind in metrics:
        names = dict.fromkeys(
            m.metric for r in run.records if r.trial.cell.kind == kind for m in found.get(r.trial.id, ())
        )
        metrics[kind] += [_metric(name).to_json() for name in names]
    records = tuple(replace(r, measurements=(*r.measurements, *found.get(r.trial.id, ()))) for r in run.records)
    return replace(run, records=records, header={**run.header, "metrics": metrics})


def _named(record: Record) -> list[Measurement]:
    losses = record.get(_MEASURED)
    corpora = str(dict(record.trial.cell.axes).get("eval_corpora", "")).split("+")
    if losses is None or len(corpora) != len(losses.values):
        return []
    return [Measurement(f"{NAMED}{name}", (loss,)) for name, loss in zip(corpora, losses.values, strict=True)]


def _metric(name: str) -> Metric:
    return Metric(name, "nat/token", "lower", "seed", f"Held-out {name} after the last step.")
