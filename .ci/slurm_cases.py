"""What `polybench run --cluster slurm` leaves behind in good and bad days, on the cluster that .ci/slurm brings up.

Run by that: FOLDER [CASE...]. Prints a line a case with its seconds; the first that fails ends it with its words.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import psutil
import toy_kind

from polybench.record import CHECKPOINT_FOLDER, Status
from polybench.run.merge import missing
from polybench.run.store import Run, load

GATED = """
suite: gated
activations: [relu, swiglu]
reference: relu
device: cpu
seeds: [1, 2, 3, 4]
benchmarks:
  - {name: toy, kind: toy, matrix: {gates: gates}}
"""
WHOLE = """
suite: whole
activations: [relu, swiglu]
reference: relu
device: cpu
seeds: [1, 2]
benchmarks:
  - {name: memory, kind: memory, matrix: {tokens: 64}}
  - name: pretrain
    kind: pretrain
    matrix: {corpus: "text:words", tokenizer: bytes, layers: 1, d_model: 16, heads: 1, seq_len: 8, batch: 8, steps: 40,
             lr: [0.01, 0.02], eval_tokens: 256}
  - {name: speed, kind: speed, matrix: {tokens: 64}, protocol: {launches: 1, budget_s: 0.5}}
"""
LONG = """
suite: long
activations: [relu]
reference: relu
device: cpu
seeds: [1]
benchmarks:
  - name: curve
    kind: loss_curve
    matrix: {corpus: "text:words", d_model: 16, heads: 1, seq_len: 8, batch: 8, steps: 600}
    protocol: {checkpoint_every: 20}
"""
PLENTY_S = 120.0  # for anything here to happen


def until(happened: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PLENTY_S
    while not happened():
        assert time.monotonic() < end, f"it did not happen that {what}"
        time.sleep(0.2)


class Case:
    """A folder with suites, and polybench in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        (folder / "gates").mkdir()
        (folder / "words").mkdir()
        for i in range(6):
            (folder / "words" / f"{i}.txt").write_text(f"document {i} on rivers " * 40, encoding="utf-8")
        for name, text in (("gated", GATED), ("whole", WHOLE), ("long", LONG)):
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        self.started: list[subprocess.Popen[str]] = []
        self.variables = {**os.environ, **toy_kind.install(folder), "POLYBENCH_CACHE": str(folder / "cache")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "polybench", "run", *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=self.folder, env=self.variables, stdout=pipe, stderr=pipe, text=True)
        self.started.append(process)
        return process

    def sent(self, *arguments: str) -> subprocess.Popen[str]:
        """Two parts of the gated suite, both of which have begun their first trial."""
        process = self.start("gated.yaml", "--out", "run", "--cluster", "slurm", "--cluster-jobs", "2", *arguments)
        until(lambda: len(self.began()) == 2, "both parts began")
        return process

    def run(self, *arguments: str, code: int = 0) -> str:
        """What it says on standard error."""
        return end(self.start(*arguments), code)

    def began(self) -> set[int]:
        """Seeds whose trials have begun."""
        log = self.folder / "log.txt"
        return {int(line.split()[-1]) for line in log.read_text().splitlines()} if log.exists() else set()

    def times(self, seed: int) -> int:
        """How many trials of it have begun."""
        return [int(line.split()[-1]) for line in (self.folder / "log.txt").read_text().splitlines()].count(seed)

    def open(self, *seeds: int) -> None:
        for seed in seeds:
            (self.folder / "gates" / str(seed)).touch()

    def result(self) -> Run:
        return load(self.folder / "run")

    def kept(self, seed: int) -> Callable[[], bool]:
        """Whether some part has written all records of a seed."""
        files = (self.folder / "run" / "shards").glob

        def written() -> bool:
            lines = [line for file in files("*/records.jsonl") for line in file.read_text().splitlines()]
            return sum(f'"seed":{seed}' in line for line in lines) == 2

        return written

    def whole(self) -> None:
        """All is there, and each trial began as often as it is told to have."""
        run = self.result()
        assert not missing(run) and len(run.records) == 8, missing(run)
        assert all(r.status is Status.OK and r.measurements[0].values == (10.0 * r.trial.seed,) for r in run.records)


def end(process: subprocess.Popen[str], code: int = 0) -> str:
    out, words = process.communicate(timeout=2 * PLENTY_S)
    assert process.returncode == code, f"exit code {process.returncode} for {code}:\n{out}{words}"
    return words


def queue() -> Mapping[str, tuple[str, str]]:
    """State and node of each job that SLURM knows."""
    asked = ["squeue", "--noheader", "--states=all", "--format=%i|%T|%N"]
    lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    return {job: (state, node) for job, state, node in (line.split("|") for line in lines)}


def running() -> list[str]:
    """Jobs that run, the first one first."""
    return sorted((job for job, (state, _) in queue().items() if state == "RUNNING"), key=int)


def numbers(words: str) -> list[str]:
    return re.findall(r"as job (\d+)", words)


def slurm(*command: str) -> None:
    subprocess.run(command, check=True)


def exact(run: Run) -> dict[tuple[str, str], tuple[float, ...]]:
    """What must be the same wherever it is measured."""
    metrics = {"saved_bytes", "val_loss", "train_loss"}
    return {(r.trial.id, m.metric): m.values for r in run.records for m in r.measurements if m.metric in metrics}


def a_suite_of_all_kinds_is_measured_on_both_nodes(case: Case) -> None:
    """Bytes and losses are those that the same suite gives without a cluster, to the bit."""
    words = case.run("whole.yaml", "--out", "a run", "--cluster", "slurm", "--cluster-jobs", "2")
    case.run("whole.yaml", "--out", "here")
    there, here = load(case.folder / "a run"), load(case.folder / "here")
    assert exact(there) == exact(here) != {}
    assert {queue()[job][1] for job in numbers(words)} == {"one", "two"}
    assert len(there.header["sources"]) == 2 and not missing(there)
    assert {r.trial.id for r in there.records} == {r.trial.id for r in here.records}


def a_cancelled_job_leaves_its_trials_missing_and_resume_measures_those(case: Case) -> None:
    process = case.sent()
    case.open(1, 2)
    until(lambda: case.kept(1)() and case.kept(2)() and len(case.began()) == 4, "both parts measured a seed")
    lost = running()[0]
    slurm("scancel", lost)
    until(lambda: queue()[lost][0] == "CANCELLED", "the job ended")
    case.open(3, 4)
    words = end(process, 3)
    assert f"job {lost} was lost: cancelled" in words and "2 of 8 trials are missing" in words, words
    before = {r.trial.id: r.started_at for r in case.result().records}
    assert len(before) == 6
    case.run("--resume", "run", "--cluster", "slurm")
    case.whole()
    assert all(r.started_at == before.get(r.trial.id, r.started_at) for r in case.result().records)


def a_training_that_is_ended_by_its_time_limit_goes_on_where_it_was(case: Case) -> None:
    """Its losses are those of one that was never stopped. Here it is halted, until the minute is over."""
    limited = ("--cluster-option", "timeout_min=1", "--cluster-option", "slurm_signal_delay_s=5")
    process = case.start("long.yaml", "--out", "run", "--cluster", "slurm", *limited)
    until(lambda: list((case.folder / "run").glob("shards/*/checkpoints/*.resume.pt")), "a checkpoint was written")
    for worker in psutil.process_iter(["cmdline", "cwd"]):
        if "polybench.measure.worker" in (worker.info["cmdline"] or ()) and worker.info["cwd"] == str(case.folder):
            worker.suspend()
    words = end(process, 3)
    assert "was asked to end" in words and "1 of 1 trials are missing" in words, words
    (kept,) = (case.folder / "run" / CHECKPOINT_FOLDER).glob("*.resume.pt")
    case.run("--resume", "run", "--cluster", "slurm")
    case.run("long.yaml", "--out", "unbroken")
    (mine,), (unbroken,) = case.result().records, load(case.folder / "unbroken").records
    assert mine.get("train_loss") == unbroken.get("train_loss") and mine.get("val_loss") == unbroken.get("val_loss")
    assert not kept.exists()


def the_controller_may_stop_and_start_in_mid_run(case: Case) -> None:
    process = case.sent()
    number = case.folder.parent / "slurmctld.pid"
    os.kill(int(number.read_text()), signal.SIGTERM)
    until(lambda: subprocess.run(["sinfo"], capture_output=True).returncode, "the controller stopped")
    case.open(1, 2, 3, 4)
    until(lambda: all(case.kept(seed)() for seed in (1, 2, 3, 4)), "all was measured without the controller")
    controller = subprocess.Popen(["slurmctld", "-D"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    number.write_text(str(controller.pid))
    end(process)
    case.whole()
    assert all(case.times(seed) == 2 for seed in (1, 2, 3, 4))


def a_program_that_dies_finds_its_jobs_again(case: Case) -> None:
    process = case.sent()
    process.kill()
    process.communicate()
    said = case.run("--resume", "run", code=2)
    assert "still has jobs in the cluster" in said and f"scancel {' '.join(running())}" in said, said
    again = case.start("--resume", "run", "--cluster", "slurm", "--cluster-jobs", "2")
    case.open(1, 2, 3, 4)
    end(again)
    case.whole()
    assert all(case.times(seed) == 2 for seed in (1, 2, 3, 4))


def ctrl_c_cancels_all_and_keeps_what_was_measured(case: Case) -> None:
    process = case.sent()
    case.open(1, 2)
    until(lambda: case.kept(1)() and case.kept(2)() and len(case.began()) == 4, "both parts measured a seed")
    process.send_signal(signal.SIGINT)
    words = end(process, 130)
    assert "4 trials are kept" in words and not running(), words
    case.open(3, 4)
    case.run("--resume", "run", "--cluster", "slurm")
    case.whole()
    assert case.times(1) == case.times(2) == 2


def a_job_that_slurm_begins_anew_goes_on(case: Case) -> None:
    """As when its node is needed by others (requeue), or is lost (down, until it is heard of again)."""
    process = case.sent()
    case.open(1, 2)
    until(lambda: case.kept(1)() and case.kept(2)() and len(case.began()) == 4, "both parts measured a seed")
    first, second = running()

    def began_anew(job: str) -> None:
        until(lambda: queue()[job][0] == "PENDING", "SLURM took a job back")
        until(lambda: queue()[job][0] == "RUNNING", "SLURM began it anew")

    slurm("scontrol", "requeue", first)
    began_anew(first)
    slurm("scontrol", "update", f"nodename={queue()[second][1]}", "state=down", "reason=trial")
    began_anew(second)
    case.open(3, 4)
    end(process)
    case.whole()
    assert case.times(1) == case.times(2) == 2
    assert case.result().header["sources"]


def what_slurm_does_not_take_is_one_sentence(case: Case) -> None:
    words = case.run(
        "gated.yaml", "--out", "run", "--cluster", "slurm", "--cluster-option", "slurm_partition=no", code=2
    )
    assert "no job was taken: sbatch: error: " in words and "Traceback" not in words, words


CASES = {
    "whole": a_suite_of_all_kinds_is_measured_on_both_nodes,
    "cancel": a_cancelled_job_leaves_its_trials_missing_and_resume_measures_those,
    "limit": a_training_that_is_ended_by_its_time_limit_goes_on_where_it_was,
    "controller": the_controller_may_stop_and_start_in_mid_run,
    "killed": a_program_that_dies_finds_its_jobs_again,
    "interrupt": ctrl_c_cancels_all_and_keeps_what_was_measured,
    "requeue": a_job_that_slurm_begins_anew_goes_on,
    "refused": what_slurm_does_not_take_is_one_sentence,
}


def main(cluster: Path, *names: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background a shell makes its programs deaf to it
    for name in names or CASES:
        begun = time.monotonic()
        case = Case(cluster / name)
        try:
            CASES[name](case)
        finally:
            for process in case.started:
                process.kill()
        print(f"{name}: {CASES[name].__name__.replace('_', ' ')}, {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
