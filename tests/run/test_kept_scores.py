"""Scores of one model are added up over several calls, each task once, and a damaged file is no obstacle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import exact

from polybench.run.scores import keep, path_of

RELU, OTHER = exact({"relu": 1, "swiglu": 2})


def test_the_last_scores_of_each_task_are_kept(tmp_path: Path) -> None:
    path = path_of(tmp_path / "a.model.pt")
    assert path == tmp_path / "a.eval.json" and path_of(Path("x/a.model.pt"), tmp_path) == path
    keep(
        path, RELU.trial, [{"task": "one", "value": 0.1}, {"task": "one", "value": 0.2}, {"task": "two", "value": 0.3}]
    )
    keep(path, OTHER.trial, [{"task": "one", "value": 0.4}])
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [(s["task"], s["value"]) for s in content["scores"]] == [("two", 0.3), ("one", 0.4)]
    assert content["trial"] == OTHER.trial.to_json()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"scores": 3}', '{"scores": [3]}', '{"scores": [{}]}', "null"])
def test_what_cannot_be_read_is_written_anew(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.eval.json"
    path.write_text(damage, encoding="utf-8")
    keep(path, RELU.trial, [{"task": "one", "value": 0.1}])
    assert [s["task"] for s in json.loads(path.read_text(encoding="utf-8"))["scores"]] == ["one"]
