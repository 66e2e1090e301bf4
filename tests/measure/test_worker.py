"""Whatever happens in the measuring process becomes a record, and the next job runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import faults
import pytest
from pictures import idx_folder

from polybench.kind import Fact, axes_of, kind_of
from polybench.measure import worker
from polybench.measure.worker import messages_of
from polybench.message import Ending
from polybench.record import Measurement, Record, Status
from polybench.run.executor import WorkerProcess
from polybench.run.faults import record_fault
from polybench.run.runner import records_of
from polybench.trial import TEXTS, Cell, Job, Trial


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    site = faults.install(tmp_path_factory.mktemp("site"))
    before = os.environ.get("PYTHONPATH")
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), root, before]))
    worker = WorkerProcess()
    yield worker
    worker.stop()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def job(kind: str, *activations: str, timeout_s: float = 600.0, **axes: int | str) -> Job:
    found = kind_of(kind)
    cells = [
        Cell(kind, found.version, name, "eager", "cpu", "float32", axes_of(found, dict(axes))) for name in activations
    ]
    protocol = {"launches": 1, "blocks": 3, "sample_s": 1e-5} if kind == "speed" else {}
    checked = tuple(sorted(found.protocol(**protocol).model_dump().items()))
    return Job(tuple(Trial("test", c, 0) for c in cells), checked, timeout_s)


def memory(executor: WorkerProcess, name: str, timeout_s: float = 600.0) -> Record:
    (record,) = records_of(job("memory", name, timeout_s=timeout_s, tokens=4, d_model=8), executor)
    return record


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("raises", Status.FAILED, "ValueError: planted mistake"),
        ("leaves", Status.FAILED, "it raised SystemExit (1), which would end the program"),
        ("interrupts", Status.FAILED, "it raised KeyboardInterrupt, which would end the program"),
        ("closes", Status.FAILED, "it raised GeneratorExit, which would end the program"),
        ("exits", Status.FAILED, "exit code 7: last words"),
        ("killed", Status.OUT_OF_MEMORY, "killed from outside"),
        ("hungry", Status.OUT_OF_MEMORY, "memory"),
        ("endless", Status.OUT_OF_MEMORY, "can't allocate memory"),
        ("misshapen", Status.FAILED, "makes (1, 3) of (1, 4), where (1, 4) is wanted"),
    ],
)
def test_a_failure_is_a_record_and_the_next_job_measures_the_same_to_the_byte(
    executor: WorkerProcess, name: str, status: Status, words: str
) -> None:
    """Where the failure took the process with it, that is in another process."""
    before, processes = memory(executor, "polynorm"), dict(executor._workers)
    record = memory(executor, name)
    assert record.status is status
    assert words in record.error
    assert "\n" not in record.error
    after = memory(executor, "polynorm")
    assert before.status is after.status is Status.OK
    assert (executor._workers == processes) == (name not in ("exits", "killed"))
    exact = [[m for m in r.measurements if m.metric != "resident_bytes"] for r in (before, after)]
    assert exact[0] == exact[1] != []


def test_a_job_that_hangs_is_stopped(executor: WorkerProcess) -> None:
    memory(executor, "relu")  # the process is up, so the time below is the job's own
    record = memory(executor, "hangs", timeout_s=0.5)
    assert record.status is Status.TIMED_OUT
    assert "timeout_s" in record.error
    assert memory(executor, "relu").status is Status.OK


@pytest.mark.parametrize("kind", ["memory", "speed"])
def test_a_trial_is_measured_whoever_asks_its_process_to_end(
    executor: WorkerProcess, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """polybench is asked too, and ends it."""
    monkeypatch.setenv("PROGRAM", str(os.getpid()))  # which copies of a worker are not made by
    records = records_of(replace(job(kind, "asked", tokens=4, d_model=8), fork=kind == "speed"), executor)
    assert [(r.status, r.error) for r in records] == [(Status.OK, "")]


def test_printing_does_not_break_the_protocol(executor: WorkerProcess) -> None:
    record = memory(executor, "prints")
    assert record.status is Status.OK
    assert record.get("saved_bytes") is not None


def test_bytes_that_autograd_s_hooks_are_not_shown_are_counted_and_noted(executor: WorkerProcess) -> None:
    secretive, open_ = memory(executor, "secretive"), memory(executor, "relu")
    assert secretive.status is Status.OK
    assert secretive.get("saved_bytes") == open_.get("saved_bytes") == Measurement("saved_bytes", (4 * 32 * 4,))
    (note,) = secretive.notes
    assert "do not see 512 B of its saved_bytes" in note and not open_.notes


@pytest.mark.parametrize("bad", ["raises", "leaves", "interrupts", "closes"])
def test_one_bad_arm_does_not_spoil_a_block(executor: WorkerProcess, bad: str) -> None:
    records = records_of(job("speed", "relu", bad, "gelu", tokens=4, d_model=8), executor)
    assert [r.status for r in records] == [Status.OK, Status.FAILED, Status.OK]
    times = [r.get("total_time") for r in (records[0], records[2])]
    assert all(t is not None and len(t.values) == 3 and min(t.values) > 0 for t in times)
    assert records[0].started_at == records[2].started_at


def test_what_computes_the_wrong_thing_has_no_time(executor: WorkerProcess) -> None:
    records = records_of(job("speed", "relu", "steep", tokens=4, d_model=8), executor)
    assert [r.status for r in records] == [Status.OK, Status.FAILED]
    assert "gradient to the input is not the derivative" in records[1].error
    assert records[1].get("total_time") is None


def test_more_threads_than_processors_are_not_timed(executor: WorkerProcess) -> None:
    (record,) = records_of(job("speed", "relu", tokens=4, d_model=8, threads=4096), executor)
    assert record.status is Status.UNSUPPORTED
    assert "4096 threads on" in record.error


def test_a_reference_that_fails_leaves_the_others_measured(executor: WorkerProcess) -> None:
    it = job("speed", "steep", "relu", "gelu", tokens=4, d_model=8)
    control = replace(it.trials[0], control=True)
    records = records_of(replace(it, trials=(*it.trials, control)), executor)
    assert [r.status for r in records] == [Status.FAILED, Status.OK, Status.OK, Status.FAILED]


def test_a_cell_slower_than_its_budget_keeps_a_block(executor: WorkerProcess) -> None:
    it = job("speed", "relu", "gelu", tokens=4, d_model=8)
    protocol = {**dict(it.protocol), "blocks": 1000, "budget_s": 1e-9}
    records = records_of(replace(it, protocol=tuple(sorted(protocol.items()))), executor)
    assert [len(m.values) for r in records if (m := r.get("total_time"))] == [1, 1]


def test_a_diverged_run_keeps_its_curve(executor: WorkerProcess) -> None:
    sizes = {"corpus": "stdlib", "d_model": 8, "heads": 1, "seq_len": 8, "batch": 2, "steps": 3}
    (record,) = records_of(job("loss_curve", "explodes", **sizes), executor)
    assert record.status is Status.DIVERGED
    assert "step 1 of 3" in record.error
    assert not record_fault(record.to_json())  # or it is stored as one that failed


def test_a_job_leaves_no_deterministic_mode_to_the_next() -> None:
    import torch

    torch.set_deterministic_debug_mode("error")
    list(messages_of(job("memory", "relu", tokens=4, d_model=8)))
    assert torch.get_deterministic_debug_mode() == 0


SOUND = Measurement("saved_bytes", (1.0,))


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (
            (0, Measurement("saved_byte", (1.0,))),
            "yielded 'saved_byte', which is none of the metrics that it",
        ),
        ((2, SOUND), "yielded something for trial 2 of 2; they count from 0"),
        ((-1, SOUND), "yielded something for trial -1 of 2"),
        (("0", SOUND), "yielded something for trial '0' of 2"),
    ],
)
def test_what_a_kind_may_not_yield_is_a_failure(
    item: tuple[object, Measurement], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = replace(kind_of("memory"), run=lambda *_: iter([(0, SOUND), item]))  # type: ignore[list-item]
    monkeypatch.setattr(worker, "kind_of", lambda name: kind)
    first, *endings = [m.item for m in messages_of(job("memory", "relu", "gelu"))]
    assert first == SOUND
    assert [type(e) for e in endings] == [Ending, Ending]
    for ending in endings:
        assert isinstance(ending, Ending) and ending.status is Status.FAILED
        assert ending.error.startswith("the kind memory yielded") and told in ending.error


@pytest.mark.parametrize("kind", ["loss_curve", "pretrain", "vision"])
def test_no_text_and_no_image_changes_within_a_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind that reads any, for each that it reads: its hash is another one than the run knows."""
    monkeypatch.setenv("POLYBENCH_CACHE", str(tmp_path / "cache"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for i in range(6):
            (tmp_path / name / f"{i}.txt").write_text(f"document {i} of {name} " * 40, encoding="utf-8")
    sizes: dict[str, int | str] = {"d_model": 8, "heads": 1, "seq_len": 8, "batch": 2, "steps": 1}
    text = {"corpus": f"text:{tmp_path}/one", **sizes}
    axes: dict[str, dict[str, int | str]] = {
        "loss_curve": text,
        "pretrain": {**text, "layers": 1, "eval_tokens": 8, "eval_corpora": f"text:{tmp_path}/two"},
        "vision": {"images": f"idx:{idx_folder(tmp_path / 'mnist')}", "width": 4, "batch": 8, "epochs": 1},
    }
    it = job(kind, "relu", **axes[kind])
    cell = it.trials[0].cell
    facts = [m.item for m in messages_of(it) if isinstance(m.item, Fact) and cell.source_of(m.item.name)]
    assert len(facts) == 1 + (kind == "pretrain")
    for fact in facts:
        known = {cell.source_of(f.name): "0ther" if f is fact else f.value for f in facts}
        monkeypatch.setenv(TEXTS, json.dumps(known))
        *_, last = messages_of(it)
        assert isinstance(last.item, Ending) and last.item.status is Status.FAILED
        assert f"{cell.source_of(fact.name)} (0ther / {fact.value}) has changed since this run began" in last.item.error
