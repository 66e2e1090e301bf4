"""A study whose rates are tuned, and trainings whose losses lie on a bowl over the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from builders import suite

from polybench.message import Ending, Message
from polybench.plan.suite import Suite
from polybench.record import Measurement
from polybench.trial import Job, Trial

GRID = [0.004, 0.008, 0.016]


def study(lr_words: Any = ("tuned", "shared"), more: Mapping[str, Any] | None = None, **tune: Any) -> Suite:
    asked = {"lr": GRID, "seeds": [100, 101], **tune}
    matrix = {"corpus": "stdlib", "lr": lr_words if isinstance(lr_words, str) else [*lr_words], **(more or {})}
    return suite(seeds=[0, 1], benchmarks=[{"name": "pre", "kind": "pretrain", "matrix": matrix, "tune": asked}])


def bowl(middle: float) -> Any:
    """A loss that is least at a rate, and 0.1 per factor of two worse on both sides of it."""
    return lambda rate, seed: 3 + 0.1 * abs(math.log2(rate / middle)) + 0.001 * seed


class Bowls:
    """An executor whose trainings end where the bowls say."""

    def __init__(self, losses: dict[str, Any]):
        self.losses, self.trained = losses, list[Trial]()

    def run(self, job: Job, on_message: Any) -> Ending:
        (trial,) = job.trials
        self.trained.append(trial)
        rate = trial.rate or dict(trial.cell.axes)["lr"]
        loss = self.losses[trial.cell.activation](rate, trial.seed)
        on_message(Message(0, Measurement("val_loss", (loss,))))
        return Ending()

    def stop(self) -> None:
        pass
