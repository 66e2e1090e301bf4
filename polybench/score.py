"""What a trained model scored on a task, kept apart from what was measured in its training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from polybench.metric import Better, Metric

UNIT = "score"  # whatever a task counts in, such as a share of right answers


@dataclass(frozen=True)
class Score:
    """One metric of a task over `n` documents; `stderr` is lm-eval's own, None where it gives none.

    `chance` is what guessing would score, None where the task does not say it, `limit` the most documents that were
    asked for, and `data` 16 digits of the SHA-256 of the documents, empty where they are no plain data.
    """

    task: str
    metric: str
    value: float
    stderr: float | None
    n: int | None
    better: Better
    shots: int = 0
    version: str = ""
    chance: float | None = None
    limit: int | None = None
    data: str = ""

    @property
    def name(self) -> str:
        """What it is called as a metric of a run: the task, and what of it."""
        return f"{self.task} {self.metric}"

    @property
    def asked(self) -> tuple[Any, ...]:
        """What was asked: two scores of which this differs are not compared."""
        return self.task, self.metric, self.shots, self.version, self.limit, self.n, self.data

    def as_metric(self) -> Metric:
        """Its definition, by which activations are compared: by differences, paired by seed."""
        documents = f" over {self.n} documents" if self.n is not None else ""
        chance = f"; guessing gives {self.chance:g}" if self.chance is not None else ""
        definition = f"{self.metric} of {self.task}{documents}, {self.shots} examples before the question{chance}."
        return Metric(self.name, UNIT, self.better, "seed", definition, source="lm-evaluation-harness")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
