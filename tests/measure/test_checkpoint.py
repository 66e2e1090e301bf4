"""Killed in the middle of a training, a run goes on from its checkpoint to the same losses, bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from builders import items, suite
from fakes import Fake
from killing import finish, kill_after, start

from polybench.errors import TrialError
from polybench.files import replacing
from polybench.kind import Fact, Item, Progress
from polybench.measure.training import checkpoint
from polybench.measure.worker import messages_of
from polybench.message import Ending
from polybench.plan.jobs import plan
from polybench.record import Measurement
from polybench.run.runner import records_of
from polybench.run.store import load
from polybench.trial import CHECKPOINTS, Trial

SUITE = """
suite: small
activations: [relu, polynorm]
reference: relu
seeds: [3]
benchmarks:
  - name: pre
    kind: pretrain
    matrix: {corpus: "text:TEXT", d_model: 8, heads: 1, layers: 1, seq_len: 8, batch: 2, steps: 40, eval_tokens: 64,
             schedule: wsd, finish_at: 0.5+0.7}
    protocol: {checkpoint_every: 3, evaluations: 4, save: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text(f"words of document {i} " * 40, encoding="utf-8")
    (tmp_path / "small.yaml").write_text(SUITE.replace("TEXT", f"{tmp_path}/*.txt"), encoding="utf-8")
    return tmp_path


def exact(items: Iterable[Item]) -> list[Measurement]:
    """The measurements among them that repeat to the bit."""
    vague = (
        "finished_time",
        "tokens_per_s",
        "step_tokens_per_s",
        "train_time",
        "compile_time",
        "product_rate",
        "utilisation",
    )
    return [i for i in items if isinstance(i, Measurement) and i.metric not in vague]


@pytest.mark.parametrize(
    "more", [{}, {"schedule": "wsd", "decay": 0.4, "average": 0.4, "finish_at": "0.5+0.7"}], ids=["", "branches"]
)
def test_stopped_at_any_checkpoint_a_training_ends_as_if_never_stopped(
    more: dict[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left between two steps, as a kill leaves it."""
    monkeypatch.setenv("POLYBENCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv(CHECKPOINTS, str(folder / "kept"))
    matrix = {"corpus": f"text:{folder}/*.txt", "d_model": 8, "heads": 1, "layers": 1, "seq_len": 8, "batch": 2,
              "steps": 10, "eval_tokens": 64, **more}  # fmt: skip
    asked = suite(activations=["polynorm", "swiglu"], benchmarks=[{"name": "p", "kind": "pretrain", "matrix": matrix}])
    trial = plan(asked, "cpu").trials[0]

    def whole(**protocol: object) -> list[Item]:
        found = [i for i in items(trial, **protocol) if not isinstance(i, Progress)]
        assert not [i for i in found if isinstance(i, Exception)]
        return [*exact(found), *(i for i in found if not isinstance(i, Measurement))]

    torch.set_num_threads(1)
    unbroken = whole(evaluations=5)
    for stop in (4, 6, 7, 11, 13) if more else (1, 4, 5, 9):
        steps = (i for i in items(trial, checkpoint_every=2, evaluations=5) if isinstance(i, Progress))
        for _ in range(stop):
            next(steps)
        steps.close()
        kept = list((folder / "kept").glob("*resume.pt"))
        assert len(kept) == (stop >= 2)
        if kept and not more:
            assert checkpoint.read(kept[0])["training"]["done"] == stop // 2 * 2
        assert whole(checkpoint_every=2, evaluations=5) == unbroken
        assert not list((folder / "kept").glob("*"))
    torch.set_deterministic_debug_mode("default")


def test_killed_and_resumed_a_run_ends_like_unbroken_trainings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(folder, "small.yaml", "--out", "broken")
    kill_after(process, 1, 9)  # type: ignore[arg-type]
    code, words = finish(folder, "--resume", "broken")
    assert code == 0, words
    monkeypatch.setenv("POLYBENCH_CACHE", str(folder / "cache"))
    torch.set_num_threads(1)
    for record in load(folder / "broken").records:
        assert record.status == "ok"
        unbroken = [i for i in items(record.trial, evaluations=4) if not isinstance(i, Progress)]
        facts = {i.name: i.value for i in unbroken if isinstance(i, Fact)}
        assert exact(record.measurements) == exact(unbroken) != [] and record.facts == facts
        kept = {p.name for p in (folder / "broken" / "checkpoints").iterdir()}
        assert len(kept) == 2 and all(name.endswith(".model.pt") for name in kept)
        (mine,) = [n for n in kept if record.trial.cell.activation in n]
        found = checkpoint.read(folder / "broken" / "checkpoints" / mine)
        assert Trial.from_json(found["trial"]) == record.trial
        assert sum(t.numel() for t in found["model"].values()) == record.get("parameters").values[0]  # type: ignore[union-attr]
    torch.set_deterministic_debug_mode("default")


def test_a_budget_that_is_spent_is_an_outcome_with_its_curve(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(folder / "cache"))
    matrix = {"corpus": f"text:{folder}/*.txt", "d_model": 8, "heads": 1, "layers": 1, "seq_len": 8, "batch": 2,
              "steps": 40, "eval_tokens": 64}  # fmt: skip
    monkeypatch.setenv(CHECKPOINTS, str(folder / "kept"))
    pre = {"name": "pre", "kind": "pretrain", "matrix": matrix, "protocol": {"budget_s": 1e-9, "save": True}}
    (job, *_) = plan(suite(activations=["relu", "swiglu"], benchmarks=[pre]), "cpu").jobs
    try:
        messages = list(messages_of(job))
    finally:
        torch.set_deterministic_debug_mode("default")
    (record,) = records_of(job, Fake(lambda _: (messages, Ending())))
    assert record.status == "timed_out" and "were spent at step 1 of 40" in record.error
    assert len(record.get("train_loss").values) == 1  # type: ignore[union-attr]
    assert not list((folder / "kept").glob("*.model.pt"))  # which is of finished trainings


def test_a_model_that_cannot_be_kept_is_a_note_on_a_finished_training(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLYBENCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv(CHECKPOINTS, str(folder / "kept"))

    def write(path: Path, content: dict[str, object]) -> None:
        if path.name.endswith("model.pt"):
            raise TrialError("no space left")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")

    monkeypatch.setattr(checkpoint, "write", write)
    matrix = {"corpus": f"text:{folder}/*.txt", "d_model": 8, "heads": 1, "layers": 1, "seq_len": 8, "batch": 2,
              "steps": 4, "eval_tokens": 64}  # fmt: skip
    pre = {"name": "pre", "kind": "pretrain", "matrix": matrix, "protocol": {"save": True, "checkpoint_every": 2}}
    (job,) = plan(suite(activations=["relu"], benchmarks=[pre]), "cpu").jobs[:1]
    try:
        messages = list(messages_of(job))
    finally:
        torch.set_deterministic_debug_mode("default")
    (record,) = records_of(job, Fake(lambda _: (messages, Ending())))
    assert record.status == "ok" and record.get("val_loss")
    assert record.notes == ("its saving failed, what was measured before stands: no space left",)
    assert not list((folder / "kept").iterdir())


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_checkpoint_is_one_sentence_with_its_file(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "x.resume.pt"
    if content is None:
        torch.save({"layout": 99}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(TrialError, match=r"x\.resume\.pt cannot be read as a checkpoint: .*; remove it"):
        checkpoint.read(path)
    with pytest.raises(TrialError, match="there is no checkpoint"):
        checkpoint.read(tmp_path / "none.pt")


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> object:
            return (print, ("executed",))

    torch.save({"layout": 1, "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(TrialError, match="cannot be read"):
        checkpoint.read(tmp_path / "evil.pt")


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TrialError, match="cannot be written"):
        checkpoint.write(tmp_path / "file" / "x.pt", {})


def test_a_kill_while_a_checkpoint_is_written_leaves_nothing_beside_the_next(tmp_path: Path) -> None:
    path = tmp_path / "x.resume.pt"
    checkpoint.write(path, {"done": 1})
    killed = replacing(path)
    killed.__enter__().write_bytes(b"half")  # and no end
    assert len(list(tmp_path.iterdir())) == 2
    assert checkpoint.read(path)["done"] == 1
    checkpoint.write(path, {"done": 2})
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert checkpoint.read(path)["done"] == 2
