"""A run over a cluster: each part is one job of submitit that runs this program again, then all are merged.

submitit (github.com/facebookincubator/submitit) knows SLURM, and a local executor that needs no cluster.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polybench.errors import UsageError, first_line
from polybench.files import inside
from polybench.plan.shard import parts, seconds, times
from polybench.run.merge import adopt
from polybench.run.session import Session, resume
from polybench.trial import Job

if TYPE_CHECKING:
    import submitit

FOLDER = "shards"  # in that of the run: a folder a part, and the logs
_SPARE = 4.0  # a cluster job may take that many times the planner's guess,
_START_MIN = 15  # and as many minutes for imports, compiling and a crowded file system
_LOOK_S = 1.0  # between two looks at the state of the jobs


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


def carry_out(session: Session, order: Order, force: bool, tell: Callable[[str], None]) -> None:
    """Send in what is left, wait, and bring back what was measured; again where tuning decides what comes next.

    A job that failed or was lost leaves its trials missing, which the merged run says.

    Raises:
        UsageError: submitit or SLURM is not there, an option is wrong, or times would be taken side by side.
        KeyboardInterrupt: after the jobs were cancelled and what they had measured was brought back.
    """
    tried: set[str] = set()
    todo = session.todo.jobs
    check(order, todo)
    while todo:
        tried |= {t.id for job in todo for t in job.trials}
        folders = _send(session.path, todo, order, force, tell)
        tell(f"merged {len(adopt(session.path, folders).records)} trials into {session.path}")
        left = resume(session.path, session.suite, force, remote=True).todo.jobs
        todo = tuple(job for job in left if not tried & {t.id for t in job.trials})


def leftovers(path: Path) -> list[Path]:
    """The parts of a run that lie in its folder."""
    found = sorted(p.parent.relative_to(path) for p in (path / FOLDER).glob("*/run.json"))
    return [inside(path, str(name)) for name in found]


def check(order: Order, todo: Sequence[Job]) -> None:
    """Raises UsageError where `carry_out` would, before anything is written."""
    if not order.remote and any(job.alone for job in todo):
        raise UsageError(
            "--cluster local measures side by side on this machine, which spoils times: leave --cluster away, "
            "or measure the benchmarks that take none, with --filter"
        )
    with tempfile.TemporaryDirectory() as folder:
        _executor(Path(folder), todo, order)


def _send(path: Path, todo: Sequence[Job], order: Order, force: bool, tell: Callable[[str], None]) -> list[Path]:
    """One cluster job a part; returns the folders of the parts once all have ended."""
    executor = _executor(path / FOLDER / "log", todo, order)
    count = sum(map(bool, parts(todo, order.jobs)))
    turn = 1 + len({p.name.partition("-")[0] for p in (path / FOLDER).glob("*-*of*")})
    folders = [path / FOLDER / f"{turn}-{i + 1}of{count}" for i in range(count)]
    program = [sys.executable, "-m", "polybench", "run", "--quiet", *(["--force"] if force else [])]
    jobs = []
    for i, folder in enumerate(folders):
        arguments = ["--resume", str(path), "--shard", f"{i + 1}/{count}", "--out", str(folder)]
        jobs.append(executor.submit(work, [*program, *arguments]))
        tell(f"sent in part {i + 1} of {count} as job {jobs[-1].job_id}; its log: {jobs[-1].paths.stderr}")
    try:
        _wait(jobs, folders, tell)
    except KeyboardInterrupt:
        for job in jobs:
            job.cancel(check=False)
        adopt(path, folders)
        raise
    return folders


def work(command: list[str]) -> int:
    """What a cluster job does: measure its part, and end as that ended."""
    return subprocess.run(command, stdin=subprocess.DEVNULL).returncode


def _wait(jobs: Sequence[submitit.Job[int]], folders: Sequence[Path], tell: Callable[[str], None]) -> None:
    from submitit.helpers import as_completed

    for job in as_completed(jobs, poll_frequency=_LOOK_S):
        part = folders[jobs.index(job)]
        tell(f"part {part.name}: {_ending(job)}")


def _ending(job: submitit.Job[int]) -> str:
    """How a cluster job ended, in one line."""
    problem = job.exception()
    if problem is not None:
        words = [line.strip() for line in str(problem).splitlines() if line.strip()]
        return f"job {job.job_id} was lost: {words[-1] if words else type(problem).__name__}"
    words = [line.strip() for line in (job.stderr() or "").splitlines() if "submitit" not in line and line.strip()]
    return words[-1] if words else f"ended with {job.result()}"


def _executor(folder: Path, todo: Sequence[Job], order: Order) -> submitit.AutoExecutor:
    try:
        import submitit
    except ImportError:
        raise UsageError("--cluster needs submitit: pip install 'torch-polybench[cluster]'") from None
    options: dict[str, Any] = {"name": "polybench", "timeout_min": minutes(parts(todo, order.jobs))}
    if any(map(times, todo)):
        options["slurm_exclusive"] = True  # others on the node would spoil times
    try:
        executor = submitit.AutoExecutor(folder, cluster=order.executor)
        executor.update_parameters(**{**options, **dict(order.options)})
    except Exception as problem:  # submitit asserts, and raises names and values, about what it is given
        raise UsageError(f"--cluster {order.executor}: {first_line(problem)}") from None
    return executor


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
