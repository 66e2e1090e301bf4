"""Trainings and cells as runs of trackio, in a database on this disk."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from polybench.registry import loggers
from polybench.tracked import Tracked


@loggers.register("trackio", package="trackio", extra="trackio")
def trackio(runs: Sequence[Tracked], out: Path) -> str:
    """A run each with configuration and curves; its figures stand at the last step, since trackio has no summary."""
    os.environ["TRACKIO_DIR"] = str(out.resolve())  # read when it is imported
    import trackio as client

    for one in runs:
        run = client.init(project=one.project, group=one.group, name=f"{one.group}/{one.name}", config=dict(one.config))
        curves = one.by_step()
        for step, values in curves.items():
            run.log(values, step=step)
        run.log(dict(one.summary), step=max(curves, default=0))
        run.finish()
    project = shlex.quote(runs[0].project) if runs else ""
    return f"TRACKIO_DIR={shlex.quote(str(out))} trackio show --project {project}"
