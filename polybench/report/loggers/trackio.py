"""Trainings and cells as runs of trackio, in a database on this disk."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from polybench.registry import loggers
from polybench.tracked import Tracked

ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")  # where it would send everything, and nothing shall leave


@loggers.register("trackio", package="trackio", extra="trackio")
def trackio(runs: Sequence[Tracked], out: Path) -> str:
    """A run each with configuration and curves; its figures stand at the last step, since trackio has no summary."""
    os.environ["TRACKIO_DIR"] = str(out.resolve())  # read when it is imported
    for elsewhere in ELSEWHERE:
        os.environ.pop(elsewhere, None)
    import trackio as client

    for one in runs:
        run = client.init(
            project=one.project,
            group=one.group,
            name=f"{one.group}/{one.name}",
            config=dict(one.config),
            auto_log_cpu=False,  # this machine now is not the one that measured
            auto_log_gpu=False,
        )
        curves = one.by_step()
        for step, values in curves.items():
            run.log(values, step=step)
        run.log(dict(one.summary), step=max(curves, default=0))
        client.finish()  # and not the run's own, or it is finished once more at the end, with words behind ours
    project = shlex.quote(runs[0].project) if runs else ""
    return f"TRACKIO_DIR={shlex.quote(str(out))} trackio show --project {project}"
