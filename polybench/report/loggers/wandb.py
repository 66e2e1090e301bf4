"""Trainings and cells as runs of Weights & Biases, on this disk unless the user says otherwise."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from polybench.registry import loggers
from polybench.tracked import Tracked

OFFLINE = "offline"


@loggers.register("wandb", package="wandb", extra="wandb")
def wandb(runs: Sequence[Tracked], out: Path) -> str:
    """A run each with configuration, curves and figures; offline, unless WANDB_MODE says online."""
    import wandb as client

    mode = os.environ.get("WANDB_MODE", OFFLINE)
    os.environ.setdefault("WANDB_SILENT", "true")  # or it prints a screen a run
    for one in runs:
        run = client.init(
            project=one.project,
            group=one.group,
            job_type=one.activation,
            name=one.name,
            config=dict(one.config),
            dir=str(out),
            mode=mode,
        )
        for step, values in one.by_step().items():
            run.log(values, step=step)
        run.summary.update(dict(one.summary))
        run.finish()
    synced = f"wandb sync {shlex.quote(str(out))}/wandb/offline-run-*"
    return synced if mode == OFFLINE else "they are where WANDB_MODE sent them"
