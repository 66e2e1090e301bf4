"""All models that a run kept, side by side; and one sentence for every mistake of `polybench eval`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import record, run, save, suite
from commands import call
from test_eval import GENERATES, _here, _offline, keep, successor, task, trial_of  # noqa: F401

from polybench.measure import tasks
from polybench.measure.training import checkpoint
from polybench.record import Status
from polybench.run.scores import SCORES_FILE, read

Capture = pytest.CaptureFixture[str]


def test_a_run_is_asked_model_by_model_and_what_cannot_be_asked_is_said(tmp_path: Path, capsys: Capture) -> None:
    axes = dict(trial_of(d_model=258).cell.axes)
    bench = {"name": "pretrain", "kind": "pretrain"}
    records = [
        record("pretrain", name, {"val_loss": [1.0]}, seed=s, **axes) for name in ("relu", "swiglu") for s in (0, 1)
    ]
    records[1] = replace(records[1], status=Status.DIVERGED, error="the loss became nan")
    folder = save(run(records, suite(benchmarks=[bench])), tmp_path / "run")
    for index, one in enumerate(records):
        model = successor() if one.trial.cell.activation == "relu" else None
        keep(folder / "checkpoints" / f"{index}.model.pt", one.trial, model)
    (folder / "checkpoints" / "3.model.pt").write_bytes(b"damaged")
    arguments = ("eval", folder, "--tasks", "own", "--include-path", task(tmp_path, doc_to_target="0"))
    assert call(*arguments) == 0
    shown = capsys.readouterr().out
    relu, swiglu = (next(w.split() for w in shown.splitlines() if f" {name} " in w) for name in ("relu", "swiglu"))
    assert relu[:4] == ["own", "acc", "relu", "1.00"] and swiglu[:3] == ["own", "acc", "swiglu"]
    assert "Left out: 1.model.pt, since its training ended as diverged: the loss became nan." in shown
    assert "3.model.pt cannot be read as a checkpoint" in shown
    assert set(read(folder)) == {records[0].trial.id, records[2].trial.id}
    assert call("report", folder, "--table", "pretrain-scores") == 0
    assert relu == next(w.split() for w in capsys.readouterr().out.splitlines() if " relu " in w)
    assert call("eval", folder / "checkpoints" / "0.model.pt", *arguments[2:], "--limit", "1") == 0
    assert [s.n for s in read(folder)[records[0].trial.id]] == [1]
    assert call("report", folder, "--table", "pretrain-scores") == 0
    assert "Left out: 1 of own acc, asked otherwise than the model that was asked last" in capsys.readouterr().out
    for path in (folder / "checkpoints").glob("*.model.pt"):
        path.write_bytes(b"")
    assert call(*arguments) == 2 and "could be asked; Left out: " in capsys.readouterr().err
    for path in (folder / "checkpoints").glob("*.model.pt"):
        path.unlink()
    assert call(*arguments) == 2 and "kept no model; `protocol: {save: true}`" in capsys.readouterr().err


def test_a_model_of_a_rate_that_was_given_up_is_left_out(tmp_path: Path, capsys: Capture) -> None:
    axes = {**dict(trial_of(d_model=258).cell.axes), "lr": "tuned"}
    one = record("pretrain", "relu", {"val_loss": [1.0]}, **axes)
    one = replace(one, trial=replace(one.trial, rate=0.008))
    folder = save(run([one], suite(benchmarks=[{"name": "pretrain", "kind": "pretrain"}])), tmp_path / "run")
    keep(folder / "checkpoints" / "a.model.pt", one.trial, successor())
    keep(folder / "checkpoints" / "b.model.pt", replace(one.trial, rate=0.004))
    assert call("eval", folder, "--tasks", "own", "--include-path", task(tmp_path, doc_to_target="0")) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "b.model.pt, since it was trained at the rate 0.004, which tuning gave up for 0.008." in shown
    assert "1.00" in shown  # as the successor does, and not the other


TASKS: dict[str, dict[str, Any]] = {
    "own": {},
    "remote": {"dataset_path": "nobody/nothing", "dataset_kwargs": None},
    "missing": {"dataset_kwargs": {"data_files": {"test": "none.jsonl"}}},
    "broken": {"doc_to_text": "{{ 1 // (q[0] != 'r')|int }}"},
    "sampling": {**GENERATES, "generation_kwargs": {"do_sample": True, "temperature": 0.7}},
    "shapeless": {"output_type": "nonsense"},
}


@pytest.mark.parametrize(
    ("names", "code", "sentence"),
    [
        ("", 2, "say which tasks"),
        (" , ", 2, "say which tasks"),
        ("owm", 2, "there is no task 'owm', did you mean 'own'?"),
        ("remote", 2, "task remote needs data that is not on this machine, and the hub cannot be reached"),
        ("missing", 2, "task missing cannot be loaded, FileNotFoundError"),
        ("shapeless", 2, "task shapeless cannot be loaded"),
        ("sampling", 2, "the task asks for samples or beams (temperature 0.7)"),
        ("broken", 3, "broken failed, ZeroDivisionError"),
    ],
)
def test_a_task_that_cannot_be_asked_is_one_sentence(
    names: str, code: int, sentence: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Reading the thousands of tasks that lm-eval brings takes seconds.
    monkeypatch.setattr("lm_eval.tasks.manager.__file__", str(tmp_path / "shipped" / "manager.py"))
    path = keep(tmp_path / "a.model.pt", trial_of())
    for name, config in TASKS.items():
        task(tmp_path, name, **config)
    assert call("eval", path, "--tasks", names, "--include-path", tmp_path) == code
    err = capsys.readouterr().err
    last = err.rstrip("\n").rpartition("\n")[2]
    assert last.startswith(sentence) and "Traceback" not in err and not (tmp_path / SCORES_FILE).exists()


def _torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:99])


def _with(**changes: Any) -> Any:
    def change(path: Path) -> None:
        content = {k: v for k, v in {**checkpoint.read(path), **changes}.items() if v is not None}
        torch.save(content, path)

    return change


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_torn, "cannot be read as a checkpoint"),
        (Path.unlink, "there is no checkpoint"),
        (_with(trial=None), "holds a training to go on with, no trained model"),
        (_with(tokenizer=None), "says nothing of its tokenizer"),
        (_with(tokenizer="{}"), "the tokenizer in the checkpoint is no tokenizer.json"),
        (_with(vocabulary=99), "is damaged, or of another polybench: Error(s) in loading state_dict"),
        (_with(axes={}), "is damaged, or of another polybench"),
        (_with(model={}), "is damaged, or of another polybench"),
    ],
)
def test_a_checkpoint_that_cannot_be_asked_is_one_sentence(
    damage: Any, sentence: str, tmp_path: Path, capsys: Capture
) -> None:
    path = keep(tmp_path / "a.model.pt", trial_of())
    damage(path)
    assert call("eval", path, "--tasks", "own", "--include-path", task(tmp_path)) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1


def test_options_that_make_no_sense_are_one_sentence(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep(tmp_path / "a.model.pt", trial_of())
    for arguments, sentence in (
        (("--include-path", "nowhere"), "--include-path nowhere is no folder"),
        (("--include-path", task(tmp_path), "--limit", "0"), "Invalid value for '--limit'"),
        (("--include-path", tmp_path, "--out", path), "cannot be made"),
    ):
        assert call("eval", path, "--tasks", "own", *arguments) == 2
        assert sentence in capsys.readouterr().err
    assert call("eval", "nowhere", "--tasks", "own") == 2
    assert "there is no run 'nowhere'" in capsys.readouterr().err
    (tmp_path / SCORES_FILE).write_text("damaged")
    assert call("eval", path, "--tasks", "own", "--include-path", tmp_path) == 2
    assert "scores.jsonl:1: this line holds no scores: it is not JSON" in capsys.readouterr().err
    monkeypatch.setattr(tasks.importlib.util, "find_spec", lambda name: None)
    capsys.readouterr()
    assert call("eval", path, "--tasks", "own", "--include-path", tmp_path) == 2
    assert "pip install 'torch-polybench[lm-eval]'" in capsys.readouterr().err
