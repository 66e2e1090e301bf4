"""What is wanted of a cluster: how many jobs of which kind, and for how long."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polybench.errors import UsageError, first_line
from polybench.plan.shard import parts, seconds, times
from polybench.trial import Job

if TYPE_CHECKING:
    import submitit

JOBS = 4  # of a cluster, where it is not said how many
_SPARE = 4.0  # a cluster job may take that many times the planner's guess,
_START_MIN = 15  # and as many minutes for imports, compiling and a crowded file system
_WARN_S = 20  # before its time is up a job hears of it; to end takes polybench a second


@dataclass(frozen=True)
class Order:
    """What is wanted of the cluster."""

    executor: str
    jobs: int
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, executor: str, jobs: int, options: Iterable[str]) -> Order:
        """Raises UsageError on an unknown executor, or an option that is no KEY=VALUE."""
        if executor not in ("slurm", "local"):
            raise UsageError(f"--cluster {executor}: say slurm, or local for jobs on this machine")
        typed = []
        for text in options:
            key, equals, value = text.partition("=")
            if not (key and equals):
                raise UsageError(f"--cluster-option {text}: write it as key=value, such as slurm_partition=gpu")
            typed.append((key, _typed(value)))
        return cls(executor, jobs, tuple(typed))

    @property
    def remote(self) -> bool:
        """Whether other machines measure."""
        return self.executor != "local"


def check(order: Order, todo: Sequence[Job]) -> None:
    """Raises UsageError where no job could be sent in, or times would be taken side by side."""
    if not order.remote and any(job.alone for job in todo):
        raise UsageError(
            "--cluster local measures side by side on this machine, which spoils times: leave --cluster away, "
            "or measure the benchmarks that take none, with --filter"
        )
    with tempfile.TemporaryDirectory() as folder:
        executor(Path(folder), todo, order)


def executor(folder: Path, todo: Sequence[Job], order: Order) -> submitit.AutoExecutor:
    """What makes cluster jobs of these, with its logs in this folder. Raises UsageError on what it does not take."""
    try:
        import submitit
    except ImportError:
        raise UsageError("--cluster needs submitit: pip install 'torch-polybench[cluster]'") from None
    if order.remote:
        from polybench.run.slurm import listen

        listen()
    minutes_each = minutes(parts(todo, order.jobs))
    options: dict[str, Any] = {"name": "polybench", "timeout_min": minutes_each, "slurm_signal_delay_s": _WARN_S}
    cells = [t.cell for job in todo for t in job.trials]
    options["cpus_per_task"] = max((int(cell.get("threads", 1)) for cell in cells), default=1)
    if any(cell.device == "cuda" for cell in cells):
        options["gpus_per_node"] = 1
    if any(map(times, todo)):
        options["slurm_exclusive"] = True  # others on the node would spoil times
    try:
        made = submitit.AutoExecutor(folder, cluster=order.executor)
        made.update_parameters(**{**options, **dict(order.options)})
    except Exception as problem:  # submitit asserts, and raises names and values, about what it is given
        raise UsageError(f"--cluster {order.executor}: {first_line(problem)}") from None
    return made


def minutes(divided: Iterable[Sequence[Job]]) -> int:
    """How long a cluster job may take, whichever of these parts it does."""
    return _START_MIN + math.ceil(_SPARE * max(map(seconds, divided)) / 60)


def _typed(value: str) -> Any:
    """submitit tells numbers from text."""
    lowered = value.lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    try:
        return int(value)
    except ValueError:
        return value
