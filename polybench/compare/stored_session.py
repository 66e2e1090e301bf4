"""What the sessions that a baseline stores say of a suite's history: times beside the reference's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from polybench.compare.comparison import exp
from polybench.compare.kept_session import Place, Session, Told
from polybench.compare.sessions import Session as Stored
from polybench.stats import CONFIDENCE_SEED, CONFIDENCE_TIME, paired


def told_with(own: Session, one: Stored, path: str) -> Session:
    """A stored session as the history has it, by the suite and the metrics of `own`, its baseline.

    Its environment is what is stored of it, the fingerprint's fields and the code, and of its trials nothing is known.
    """
    held = ((b, one.protocols.get(b.name, {})) for b in own.suite.benchmarks)
    benchmarks = [b.model_copy(update={"protocol": {**b.protocol, **values}}) for b, values in held]
    return replace(
        own,
        path=path,
        started_at=one.started_at,
        device=next((cell.device for _, cell, _ in one.times), own.device),
        environment={**one.environment, "code": one.code},
        suite=own.suite.model_copy(update={"benchmarks": benchmarks}),
        trials=frozenset(),
        ended={},
        told=dict(_told(own, one)),
    )


def _told(own: Session, one: Stored) -> Iterator[tuple[Place, Told]]:
    """Each time over the reference's, launch by launch or seed by seed: both are stored over one yardstick.

    Who is settled early has fewer launches, from the first on. Which seeds are missing is not stored.
    """
    reference = own.suite.reference
    for (benchmark, cell, name), mine in one.times.items():
        base = one.times.get((benchmark, replace(cell, activation=reference), name))
        if name not in own.metrics or cell.activation == reference or base is None:
            continue
        of_launches = own.metrics[name].varies_with == "sample"
        if not of_launches and len(mine.logs) != len(base.logs):
            continue
        confidence = CONFIDENCE_TIME if of_launches else CONFIDENCE_SEED
        logs = [a - b for a, b in zip(mine.logs, base.logs, strict=False)]
        if 0 < (ratio := paired(logs, confidence).map(exp)).value < math.inf:
            yield (name, benchmark, cell), Told(ratio)
