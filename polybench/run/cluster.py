"""A run over a cluster: each part is one job of submitit that runs this program again, then all are merged.

submitit (github.com/facebookincubator/submitit) knows SLURM, and a local executor that needs no cluster.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from polybench.errors import Stopped, UsageError, first_line
from polybench.files import inside
from polybench.plan.shard import parts
from polybench.run import store
from polybench.run.lock import refuse_held
from polybench.run.merge import adopt
from polybench.run.order import Order, check, executor
from polybench.run.part import work
from polybench.run.session import Session, resume
from polybench.run.store import RUN_FILE
from polybench.trial import Job, Trial

if TYPE_CHECKING:
    import submitit
    from submitit import SlurmJob

    Sent = submitit.Job[int]

Tell = Callable[[str], None]
FOLDER = "shards"  # in that of the run: a folder a part, and the logs
_LOG = "log"  # in that: a folder an executor, and in it one a part
_LOOK_S = 1.0  # between two looks at what the jobs have written; SLURM is asked less often
_END_S = 60.0  # for cancelled jobs to end: by default SLURM kills 30 s after it has asked


def carry_out(session: Session, order: Order, force: bool, tell: Tell) -> None:
    """Send in what is left, wait, and bring back what was measured; again where tuning decides what comes next.

    A job that failed or was lost leaves its trials missing, which the merged run says.

    Raises:
        UsageError: submitit or SLURM is not there or takes no job, an option is wrong, or times would be taken side
            by side.
        KeyboardInterrupt: after the jobs were cancelled and what they had measured was brought back.
    """
    tried: set[Trial] = set()  # with its rate: a trial whose rate moves is another one
    left = session.todo.jobs
    check(order, left)
    store.write_header(session.path, session.header)  # which the jobs go by
    while any(not tried.issuperset(job.trials) for job in left):
        tried |= {t for job in left for t in job.trials}
        _send(session.path, left, order, force, tell)  # with what failed, which the jobs find to be left too
        left = resume(session.path, session.suite, force, remote=True).todo.jobs


def recover(path: Path, order: Order | None, tell: Tell) -> None:
    """Bring in what jobs have measured that nobody waited for, once all of them have ended.

    Not before: which trials a job measures follows from what its run holds when the job starts.

    Raises:
        UsageError: SLURM still has some of them, and this is no run over it.
        ResultsError: a process still measures into a part.
        KeyboardInterrupt: as `carry_out`.
    """
    there = _unattended(path)
    if there and not (order and order.remote):
        numbers = " ".join(job.job_id for job in there.values())
        how = f"wait for them with --cluster slurm, or end them with: scancel {numbers}"
        raise UsageError(f"{path} still has jobs in the cluster; {how}")
    if there:
        tell(f"{len(there)} jobs that were sent in before are still in the cluster, and are waited for")
        with _attended(path, tell) as sent:
            sent.update(there)
    if lost := leftovers(path):
        for part in lost:
            refuse_held(part)
        adopt(path, lost)


def leftovers(path: Path) -> list[Path]:
    """The parts of a run that lie in its folder."""
    found = sorted(p.parent.relative_to(path) for p in (path / FOLDER).glob(f"*/{RUN_FILE}"))
    return [inside(path, str(name)) for name in found]


def _unattended(path: Path) -> dict[Path, Sent]:
    """What SLURM still has of a run that nobody waits for, by the folder of its part; nothing without SLURM."""
    log = path / FOLDER / _LOG / "slurm"
    if not (log.is_dir() and shutil.which("squeue")):
        return {}
    try:
        from polybench.run.slurm import still_there
    except ImportError:  # submitit is missing
        return {}
    return {path / FOLDER / name: job for name, job in still_there(inside(path, f"{FOLDER}/{_LOG}/slurm")).items()}


def _send(path: Path, todo: Sequence[Job], order: Order, force: bool, tell: Tell) -> None:
    """One cluster job a part, until all have ended; where only some are taken, those. Raises UsageError for none."""
    count = sum(map(bool, parts(todo, order.jobs)))
    turn = 1 + len({p.name.partition("-")[0] for p in (path / FOLDER).glob("*-*of*")})
    program = [sys.executable, "-m", "polybench", "run", "--quiet", *(["--force"] if force else [])]
    with _attended(path, tell) as sent:
        for i in range(count):
            folder = path / FOLDER / f"{turn}-{i + 1}of{count}"
            begin = ["--resume", str(path), "--shard", f"{i + 1}/{count}", "--out", str(folder)]
            log = path / FOLDER / _LOG / order.executor / folder.name
            try:
                job = executor(log, todo, order).submit(work, program, begin, str(folder))
            except Exception as problem:  # submitit raises what sbatch says, each of its faults by another class
                if not sent:
                    raise UsageError(f"--cluster {order.executor}: no job was taken: {first_line(problem)}") from None
                tell(f"part {i + 1} of {count} and what follows was not taken: {first_line(problem)}")
                break
            sent[folder] = job
            tell(f"sent in part {i + 1} of {count} as job {job.job_id}; its log: {job.paths.stderr}")


@contextmanager
def _attended(path: Path, tell: Tell) -> Iterator[dict[Path, Sent]]:
    """Jobs by the folder of their part: all are waited for, and what they have measured is in the run then.

    Raises KeyboardInterrupt, after they were cancelled.
    """
    sent: dict[Path, Sent] = {}
    try:
        yield sent
        _wait(sent, tell)
    except KeyboardInterrupt:
        _cancel(sent.values(), tell)
        raise
    finally:
        if sent:
            tell(f"merged {len(adopt(path, tuple(sent)).records)} trials into {path}")


def _wait(sent: Mapping[Path, Sent], tell: Tell) -> None:
    """Until all have ended; what each waits for is told, and once what is to be done where that may never come."""
    left, told, advised = dict(sent), dict[Path, str](), set[str]()
    while left:
        for folder, job in sent.items():
            if folder in left and job.done():
                tell(f"part {folder.name}: {_ending(job)}")
                del left[folder]
            elif folder in left and (state := _state(job)) not in ("", told.get(folder)):
                told[folder], advice = state, _advice(job)
                tell(f"job {job.job_id} is {state}" + (f": {advice}" if advice and advice not in advised else ""))
                advised.add(advice)
        if left:
            time.sleep(_LOOK_S)


def _cancel(jobs: Collection[Sent], tell: Tell) -> None:
    """End jobs, and wait for that, so that nothing is brought back half written. A second Ctrl-C waits no more."""
    left = [job for job in jobs if not job.done()]
    for job in left:
        job.cancel(check=False)
    if left:
        tell(f"cancelled {len(left)} jobs; waiting for their end")
    until = time.monotonic() + _END_S
    while left and time.monotonic() < until:
        time.sleep(_LOOK_S)
        left = [job for i, job in enumerate(left) if not job.done(force_check=not i)]  # one question tells of all


def _ending(job: Sent) -> str:
    """How a cluster job ended, in one line."""
    lost = f"job {job.job_id} was lost"
    if not job.paths.result_pickle.exists() and (state := _state(job)) not in ("", "completed", "forgotten"):
        return f"{lost}: {state}"
    problem = job.exception()  # waits a while for what a slow file system may still bring
    if problem is not None:
        words = [line.strip() for line in str(problem).splitlines() if line.strip()]
        return f"{lost}: {words[-1] if words else type(problem).__name__}"
    if job.result() == Stopped.exit_code:
        return f"job {job.job_id} was asked to end, since its time was up or others came first"
    words = [line.strip() for line in (job.stderr() or "").splitlines() if "submitit" not in line and line.strip()]
    return words[-1] if words else f"ended with {job.result()}"


def _state(job: Sent) -> str:
    """What SLURM says of a job, as far as it was asked; empty elsewhere."""
    if not _of_slurm(job):
        return ""
    from polybench.run.slurm import words

    return words(job)


def _advice(job: Sent) -> str:
    """Why it may never start, and what to do then; empty where waiting is all."""
    if not _of_slurm(job):
        return ""
    from polybench.run.slurm import stuck

    return stuck(job)


def _of_slurm(job: Sent) -> TypeGuard[SlurmJob[int]]:
    from submitit import SlurmJob

    return isinstance(job, SlurmJob)
