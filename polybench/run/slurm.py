"""What SLURM says of jobs, by squeue: submitit asks sacct, which many a cluster has no database for.

Documented at https://slurm.schedmd.com/squeue.html and https://slurm.schedmd.com/job_reason_codes.html.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

_FAILED = {"BOOT_FAIL", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
_ENDED = {"COMPLETED", "CANCELLED", "PREEMPTED", "REVOKED", *_FAILED}
_FORGOTTEN = "FORGOTTEN"  # our word: a job is known for minutes after its end (MinJobAge), then no more
_MOST_S = 30  # between two questions; at first they are seconds apart

# What time alone does not bring: how the reason of a waiting job reads, what that means, and what to do about it.
_STUCK = (
    (
        r"PartitionTimeLimit|(QOS|Assoc)Max(WallDuration|\w*Minutes)PerJob",
        "it asks for more minutes than it may have",
        "timeout_min=MINUTES",
    ),
    (
        r"BadConstraints|Constraints|PartitionConfig|PartitionNodeLimit|MaxMemPerLimit|(QOS|Assoc)Max\w+Per(Job|Node)|QOSMin",
        "no node there gives it what it asks for",
        "slurm_partition=NAME, slurm_constraint=FEATURE, cpus_per_task=N or mem_gb=N",
    ),
    (
        r"Invalid(Account|QOS)|(Account|QOS)NotAllowed",
        "its account or quality of service is not admitted",
        "slurm_account=NAME or slurm_qos=NAME",
    ),
    (
        r"ReqNodeNotAvail|NodeDown|PartitionDown|PartitionInactive",
        "nodes that it needs are away, which `sinfo --list-reasons` explains",
        "slurm_partition=NAME or slurm_exclude=NODES",
    ),
)
_HELD = r"JobHeld|JobHoldMaxRequeue|launch.failed"


class Squeue(SlurmInfoWatcher):
    """State, reason and script of all jobs that are waited for, in one question.

    While SLURM does not answer, all of them are as they were.
    """

    def _make_command(self) -> list[str] | None:
        asked = ["squeue", "--me", "--noheader", "--states=all", "--format=%i|%T|%r|%o"]
        return asked if self._registered - self._finished else None

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        text = string if isinstance(string, str) else string.decode("utf-8", "replace")
        rows = [line.strip().split("|", 3) for line in text.splitlines()]
        names = ("State", "Reason", "Script")
        known = {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows if len(row) == 4}
        return {job: known.get(job, {"State": _FORGOTTEN}) for job in self._registered}

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        return self.get_state(job_id, mode) in (*_ENDED, _FORGOTTEN)


def listen() -> None:
    """From here on submitit asks squeue, and does not warn on standard output when that does not answer."""
    if not isinstance(SlurmJob.watcher, Squeue):
        SlurmJob.watcher = Squeue(delay_s=_MOST_S)
    logging.getLogger("submitit").setLevel(logging.ERROR)


def words(job: SlurmJob[int]) -> str:
    """Its state and, where it waits, what for: `pending (Resources)`; empty while nobody knows."""
    seen = job.get_info(mode="standard")
    state, reason = seen.get("State", "").lower(), seen.get("Reason", "None")
    return state if reason == "None" or state != "pending" else f"{state} ({reason})"


def stuck(job: SlurmJob[int]) -> str:
    """Why a job may wait for ever and what to do, in a sentence's end; empty where it only has to wait its turn."""
    seen = job.get_info(mode="cache")
    state, reason = seen.get("State", ""), seen.get("Reason", "")
    if state != "PENDING":
        return ""
    if re.match(_HELD, reason):
        return f"it is held, and starts after `scontrol release {job.job_id}`"
    for pattern, meaning, options in _STUCK:
        if re.match(pattern, reason):
            return (
                f"{meaning}, so it may never start; Ctrl-C ends the jobs, and --cluster-option {options} asks otherwise"
            )
    return ""


def still_there(folder: Path) -> dict[str, SlurmJob[int]]:
    """The jobs, by the name of their part, that SLURM has and whose script lies in this folder of logs.

    A folder may come from anybody, and numbers of jobs come again: what it names is ours only if SLURM agrees.
    """
    listen()
    files = sorted(folder.glob("*/*_submitted.pkl"))
    jobs: list[SlurmJob[int]] = [SlurmJob(file.parent, file.name.partition("_")[0]) for file in files]
    SlurmJob.watcher.update()
    found = {}
    for file, job in zip(files, jobs, strict=True):
        script = Path(job.get_info(mode="cache").get("Script", "")).resolve()
        ended = job.paths.result_pickle.exists() or job.watcher.is_done(job.job_id, mode="cache")
        if script.is_relative_to(file.parent.resolve()) and not ended:
            found[file.parent.name] = job
    return found
