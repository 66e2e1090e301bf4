"""All models that a run kept, side by side; and one sentence for every mistake of `polybench eval`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from builders import LAWS, record, run, save, suite
from commands import call
from hypothesis import given
from hypothesis import strategies as st
from test_eval import GENERATES, _here, _offline, keep, successor, task, trial_of  # noqa: F401

from polybench.corrections import holm
from polybench.looks import over_looks
from polybench.measure import tasks
from polybench.measure.tasks import Score
from polybench.measure.training import checkpoint
from polybench.record import Status
from polybench.report.scores import ScoredModel, side_by_side
from polybench.stats import paired, t_test
from polybench.trial import Trial

Capture = pytest.CaptureFixture[str]
CELL = trial_of().cell


def scored(values: dict[str, Sequence[float]], better: Any = "higher") -> list[ScoredModel]:
    return [
        ScoredModel(Trial("p", replace(CELL, activation=name), seed), (Score("t", "acc", value, None, 9, better),))
        for name, own in values.items()
        for seed, value in enumerate(own)
    ]


@LAWS
@given(st.data())
def test_side_by_side_is_the_paired_interval_and_holm_over_the_column(data: st.DataObject) -> None:
    floats = st.lists(st.floats(0, 1), min_size=4, max_size=4)
    values = {name: data.draw(floats) for name in ("relu", "gelu", "swiglu")}
    better = data.draw(st.sampled_from(["higher", "lower", "neither"]))
    (table,) = side_by_side(scored(values, better), "swiglu")
    rows = {row[0].text: row for row in table.rows}
    pairs = {n: [v - b for v, b in zip(values[n], values["swiglu"], strict=True)] for n in ("relu", "gelu")}
    p_values = dict(zip(pairs, holm([over_looks(t_test(d), 1) for d in pairs.values()]), strict=True))
    assert rows["swiglu"][3].text == "0"
    for name, differences in pairs.items():
        (_, seeds, mean, change), wanted = rows[name], paired(differences)
        assert seeds.text == "4" and mean.value == pytest.approx(sum(values[name]) / 4)
        assert (change.value, change.low, change.high) == (wanted.value, wanted.low, wanted.high)
        told = p_values[name] < 0.05 and any(differences)
        good = (wanted.value > 0) == (better == "higher")
        word = "" if better == "neither" else "better" if good else "worse"
        assert change.outcome == (word if told else "not resolved" if any(differences) else "same")


def test_without_the_reference_or_its_seeds_there_is_no_difference() -> None:
    (table,) = side_by_side(scored({"relu": [0.1, 0.2], "gelu": [0.3]}), "swiglu")
    assert [row[3].text for row in table.rows] == ["–", "–"]
    (table,) = side_by_side(scored({"relu": [0.1], "swiglu": [0.3, 0.4]}), "swiglu")
    assert "[no interval, n 1]" in table.rows[0][3].text and "2 more seeds at least (relu" in table.notes[0]


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
    relu, swiglu = (next(w.split() for w in shown.splitlines() if w.startswith(name)) for name in ("relu", "swiglu"))
    assert relu[:3] == ["relu", "1", "1.0000"] and swiglu[:2] == ["swiglu", "1"]
    assert "Left out: 1.model.pt, since its training ended as diverged: the loss became nan." in shown
    assert "3.model.pt cannot be read as a checkpoint" in shown
    assert {p.name for p in (folder / "checkpoints").glob("*.json")} == {"0.eval.json", "2.eval.json"}
    for path in (folder / "checkpoints").glob("*.model.pt"):
        path.write_bytes(b"")
    assert call(*arguments) == 2 and "could be asked; Left out: " in capsys.readouterr().err
    for path in (folder / "checkpoints").glob("*.model.pt"):
        path.unlink()
    assert call(*arguments) == 2 and "kept no model; `protocol: {save: true}`" in capsys.readouterr().err


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
    assert last.startswith(sentence) and "Traceback" not in err and not list(tmp_path.glob("*.eval.json"))


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
    (tmp_path / "a.eval.json").write_text("damaged")
    assert call("eval", path, "--tasks", "own", "--include-path", tmp_path) == 0
    assert len(json.loads((tmp_path / "a.eval.json").read_text())["scores"]) == 1
    monkeypatch.setattr(tasks.importlib.util, "find_spec", lambda name: None)
    capsys.readouterr()
    assert call("eval", path, "--tasks", "own", "--include-path", tmp_path) == 2
    assert "pip install 'torch-polybench[lm-eval]'" in capsys.readouterr().err
