"""Training curves as event files of TensorBoard."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from polybench.errors import NothingMeasured
from polybench.registry import loggers
from polybench.tracked import Tracked


@loggers.register("tensorboard", package="tensorboard", extra="tensorboard")
def tensorboard(runs: Sequence[Tracked], out: Path) -> str:
    """Scalars of every training, a folder each, which `tensorboard --logdir` shows side by side."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter  # the one under torch's SummaryWriter

    trained = [run for run in runs if run.curves]
    if not trained:
        raise NothingMeasured("no training of this run has curves, so there is nothing that TensorBoard could draw")
    for run in trained:
        writer = EventFileWriter(str(out / _folder(run.name)))
        for curve in run.curves:
            for step, value in zip(curve.steps, curve.values, strict=True):
                summary = Summary(value=[Summary.Value(tag=curve.metric, simple_value=value)])
                moment = run.started + run.seconds.get(step, 0.0)
                writer.add_event(Event(wall_time=moment, step=step, summary=summary))
        writer.close()
    return f"tensorboard --logdir {shlex.quote(str(out))}"


def _folder(name: str) -> str:
    """A label as a path below a folder: its slashes part folders, and none of them leads elsewhere."""
    parts = (re.sub(r"[^\w.,=+-]+", "_", part).lstrip(".") or "_" for part in name.split("/"))
    return "/".join(parts)
