"""What an experiment tracker is told: one training with its curves, or one cell that has none, as frozen values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from polybench.spec import Scalar


@dataclass(frozen=True)
class Curve:
    """One metric along the optimizer steps of a training, in its own unit."""

    metric: str
    unit: str
    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Tracked:
    """What becomes one run of a tracker.

    `project` is the suite, `group` the run of polybench, `name` the label of the trial, unique within the group.
    `config` says what was measured and where, `summary` what came out: each metric by its name, and behind a slash
    what all seeds of its cell say of it, with the ends of its interval.
    `started` is in seconds since 1970, `seconds` the time of the training at some of its steps.
    """

    project: str
    group: str
    name: str
    activation: str
    config: Mapping[str, Scalar]
    summary: Mapping[str, float | str]
    curves: tuple[Curve, ...] = ()
    started: float = 0.0
    seconds: Mapping[int, float] = field(default_factory=dict)

    def by_step(self) -> dict[int, dict[str, float]]:
        """The value of every curve that has one there, step by step, in their order."""
        found: dict[int, dict[str, float]] = defaultdict(dict)
        for curve in self.curves:
            for step, value in zip(curve.steps, curve.values, strict=True):
                found[step][curve.metric] = value
        return dict(sorted(found.items()))
