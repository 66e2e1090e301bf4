"""Scores of models are added up over several calls, each task once; a damaged line is told by its place."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from builders import exact, losses, run, save

from polybench.errors import ResultsError
from polybench.run.merge import merge
from polybench.run.scores import SCORES_FILE, keep, read
from polybench.run.store import load
from polybench.score import Score

RELU, OTHER = exact({"relu": 1, "swiglu": 2})


def score(task: str, value: float, metric: str = "acc") -> Score:
    return Score(task, metric, value, 0.01, 9, "higher", 1, "2.0", 0.5, 9, "ab")


def test_the_last_scores_of_each_task_are_kept(tmp_path: Path) -> None:
    assert read(tmp_path) == {}
    keep(tmp_path, RELU.trial, [score("one", 0.1), score("one", 0.2, "f1"), score("two", 0.3)])
    keep(tmp_path, OTHER.trial, [score("one", math.inf)])
    keep(tmp_path, RELU.trial, [score("one", 0.4)])
    assert read(tmp_path) == {
        OTHER.trial.id: (score("one", math.inf),),
        RELU.trial.id: (score("one", 0.2, "f1"), score("two", 0.3), score("one", 0.4)),
    }
    assert [*read(tmp_path)][-1] == RELU.trial.id  # asked last
    assert len((tmp_path / SCORES_FILE).read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "it is not JSON"),
        ("[]", "Input should be"),
        ("{}", "trial: Field required"),
        ('{"trial": 3, "scores": []}', "trial: Input should be"),
        ('{"trial": TRIAL, "scores": 3}', "scores: Input should be"),
        ('{"trial": TRIAL, "scores": [{"task": "t"}]}', "scores.0.metric: Field required"),
        ('{"trial": TRIAL, "scores": [SCORE]}', "scores.0.better: Input should be 'lower'"),
    ],
)
def test_a_damaged_line_is_told_by_its_place_and_nothing_is_written(line: str, why: str, tmp_path: Path) -> None:
    keep(tmp_path, RELU.trial, [score("one", 0.1)])
    whole = (tmp_path / SCORES_FILE).read_text()
    trial = whole[whole.index('"trial":') + len('"trial":') : whole.rindex("}")]
    one = whole[whole.index("[") + 1 : whole.index("]")].replace("higher", "upwards")
    damaged = whole + "\n" + line.replace("TRIAL", trial).replace("SCORE", one) + "\n"
    (tmp_path / SCORES_FILE).write_text(damaged)
    for do in (lambda: read(tmp_path), lambda: keep(tmp_path, RELU.trial, [])):
        with pytest.raises(ResultsError) as caught:
            do()
        assert f"{SCORES_FILE}:3: this line holds no scores: {why}" in str(caught.value)
    assert (tmp_path / SCORES_FILE).read_text() == damaged


def test_what_a_newer_polybench_added_is_passed_over(tmp_path: Path) -> None:
    keep(tmp_path, RELU.trial, [score("one", 0.1)])
    text = (tmp_path / SCORES_FILE).read_text()
    (tmp_path / SCORES_FILE).write_text(text.replace('"better"', '"colour":"blue","better"'))
    assert read(tmp_path)[RELU.trial.id] == (score("one", 0.1),)


def test_a_merged_run_has_the_scores_of_its_parts(tmp_path: Path) -> None:
    records = losses({"relu": [3.0, 3.1], "swiglu": [3.2, 3.3]})
    for part in (0, 1):
        own = [r for r in records if r.trial.seed == part]
        folder = save(run(own), tmp_path / str(part))
        for record in own:
            keep(folder, record.trial, [score("one", record.trial.seed / 2)])
        keep(folder, replace(own[0].trial, seed=9), [score("one", 1.0)])  # of no record
    merge([tmp_path / "0", tmp_path / "1"], tmp_path / "both")
    assert load(tmp_path / "both").scores == {r.trial.id: (score("one", r.trial.seed / 2),) for r in records}
