"""What is known of SLURM without one: its answers are written down here, and `.ci/slurm` asks SLURM itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from submitit.slurm.slurm import SlurmJob

from polybench.errors import UsageError
from polybench.machine.environment import cores
from polybench.run import cluster, part, slurm
from polybench.run.order import Order
from polybench.run.slurm import Squeue

ANSWER = """\
12|RUNNING|None|{folder}/1-1of2/.submission_file_a.sh
13|PENDING|Resources|{folder}/1-2of2/.submission_file_b.sh
14|PENDING|Priority|/elsewhere/of|somebody
15|TIMEOUT|TimeLimit|{folder}/2-1of1/.submission_file_c.sh
17|COMPLETING|None|{folder}/2-1of1/.submission_file_d.sh
"""


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of a run with jobs 12 to 17, whose state is told by a squeue of ours; 16 is forgotten, 12 of nobody's part."""
    folder = tmp_path / "run" / "shards" / "log" / "slurm"
    for name in ("1-1of2/12", "1-2of2/13", "1-2of2/14", "2-1of1/15", "2-1of1/16"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}_submitted.pkl").touch()
    (tmp_path / "answer").write_text(ANSWER.format(folder=folder), encoding="utf-8")
    (tmp_path / "squeue").write_text(f'#!/bin/sh\ncat "{tmp_path}/answer"\n', encoding="utf-8")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(SlurmJob, "watcher", Squeue(delay_s=30))
    yield folder


def test_states_are_those_that_squeue_tells_and_a_job_it_knows_no_more_has_ended() -> None:
    watcher = Squeue(delay_s=30)
    for number in range(12, 18):
        watcher.register_job(str(number))
    found = watcher.read_info(ANSWER.format(folder="/logs").encode())
    assert {k: v["State"] for k, v in found.items()} == {
        "12": "RUNNING", "13": "PENDING", "14": "PENDING", "15": "TIMEOUT", "16": "FORGOTTEN", "17": "COMPLETING",
    }  # fmt: skip
    watcher._info_dict = found
    assert {n for n in found if watcher.is_done(n, mode="cache")} == {"15", "16"}
    assert not watcher.is_done("99", mode="cache")  # nobody has asked yet


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (
            ("PartitionTimeLimit", "QOSMaxWallDurationPerJobLimit", "AssocMaxCpuMinutesPerJobLimit"),
            "timeout_min=MINUTES",
        ),
        (("BadConstraints", "PartitionNodeLimit", "QOSMaxCpuPerNode", "QOSMinGRES"), "slurm_constraint=FEATURE"),
        (("InvalidAccount", "QOSNotAllowed"), "slurm_qos=NAME"),
        (("ReqNodeNotAvail, UnavailableNodes:one", "PartitionDown"), "`sinfo --list-reasons`"),
        (("JobHeldUser", "launch failed requeued held"), "`scontrol release 13`"),
        (("Resources", "Priority", "None", "QOSMaxCpuPerUserLimit", "AssocMaxJobsLimit", "QOSGrpCpuLimit"), ""),
    ],
)
def test_a_reason_that_time_alone_does_not_end_has_a_remedy(logs: Path, reasons: tuple[str, ...], words: str) -> None:
    job: SlurmJob[int] = SlurmJob(logs / "1-2of2", "13")
    for reason in reasons:
        for state in ("PENDING", "RUNNING"):
            SlurmJob.watcher._info_dict = {"13": {"State": state, "Reason": reason}}
            told = slurm.stuck(job)
            assert words in told and bool(told) == bool(words) if state == "PENDING" else not told
            assert "\n" not in told


def test_a_job_that_may_never_start_is_waited_for_and_what_to_do_is_said_once(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = logs.parents[3] / "answer"
    rows = "".join(f"{job}|PENDING|PartitionTimeLimit|{logs}\n" for job in (12, 13))
    later = iter([rows, rows.replace("PENDING|PartitionTimeLimit", "CANCELLED|None")])

    def time_passes(seconds: float) -> None:
        answer.write_text(next(later), encoding="utf-8")
        SlurmJob.watcher.update()

    monkeypatch.setattr(cluster.time, "sleep", time_passes)
    time_passes(0)
    said: list[str] = []
    cluster._wait({logs / n: SlurmJob(logs / n, job) for n, job in (("1-1of2", "12"), ("1-2of2", "13"))}, said.append)
    assert said[0].startswith(
        "job 12 is pending (PartitionTimeLimit): it asks for more minutes than it may have, so it"
    )
    assert said[1:2] == ["job 13 is pending (PartitionTimeLimit)"]
    assert [line.rpartition(": ")[2] for line in said[2:]] == ["cancelled", "cancelled"]


def test_jobs_that_nobody_waits_for_are_those_that_slurm_has_and_whose_script_is_the_runs(logs: Path) -> None:
    there = slurm.still_there(logs)
    assert {name: (job.job_id, slurm.words(job)) for name, job in there.items()} == {
        "1-1of2": ("12", "running"),
        "1-2of2": ("13", "pending (Resources)"),
    }
    (logs / "1-1of2" / "12_0_result.pkl").touch()  # it has ended, whatever SLURM says yet
    assert set(slurm.still_there(logs)) == {"1-2of2"}


def test_a_run_with_jobs_in_the_cluster_is_not_gone_on_with_beside_them(logs: Path) -> None:
    for order in (None, Order.of("local", 2, ())):
        with pytest.raises(UsageError) as caught:
            cluster.recover(logs.parents[2], order, print)
        assert "still has jobs in the cluster; wait for them with --cluster slurm" in str(caught.value)
        assert str(caught.value).endswith("scancel 12 13")


PROGRAM = """
import os, signal, sys
print(*sys.argv[1:], file=open("told", "w"))
if "begin" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    os.kill(os.getpid(), signal.SIGUSR2)
    while True:
        os.kill(os.getppid(), signal.SIGUSR2)
if "cancel" in sys.argv:
    sys.exit(130)
"""


def test_a_part_is_deaf_to_slurms_warning_and_is_asked_to_end_and_begun_anew_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(part.WARNING)
    try:
        program = [sys.executable, "-S", "-c", PROGRAM]
        assert part.work(program, ["begin"], "out") == 130
        assert Path("told").read_text() == "begin\n"
        with pytest.raises(SystemExit):  # asked by others, so SLURM says what becomes of the job
            part.work(program, ["cancel"], "out")
        Path("out").mkdir()
        Path("out/run.json").touch()
        assert part.work(program, ["begin"], "out") == 0
        assert Path("told").read_text() == "--resume out\n"
    finally:
        signal.signal(part.WARNING, before)


def test_a_job_uses_the_cores_that_slurm_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)
    here = cores()
    for given, expected in (("1", 1), ("0", here), ("", here), ("many", here), (str(here + 1), here)):
        monkeypatch.setenv("SLURM_CPUS_ON_NODE", given)
        assert cores() == expected
