"""A plan is summed up without losing a trial or an axis, fits a screen, and guesses about what was measured."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path

import pytest
from builders import suite
from pydantic import ValidationError

from polybench.cli.plan import text
from polybench.compare.expected import expected
from polybench.plan.check import load_suite
from polybench.plan.jobs import plan
from polybench.plan.suite import Suite
from polybench.plan.summary import summaries

ROOT = Path(__file__).parents[2]
SUITES = {p.stem: load_suite(p).suite for p in sorted((ROOT / "suites").rglob("*.yaml"))} | {"toy": suite()}
TIMED = ("quick", "speed", "memory", "accuracy")  # published by a run that nothing disturbed or interrupted


def device(of: Suite) -> str:
    return "cpu" if of.device == "auto" else of.device


@pytest.mark.parametrize("of", SUITES.values(), ids=SUITES)
def test_a_summary_leaves_out_no_trial_and_no_axis(of: Suite) -> None:
    whole = plan(of, device(of))
    found = summaries(whole, of, slots=2)
    assert sorted(t for s in found for t in s.trials) == sorted(map(whole.labels.of_trial, whole.trials))
    assert sum(s.cells for s in found) == whole.cells
    assert sum(s.estimated_s for s in found) == pytest.approx(whole.seconds(2))
    for one in found:
        mine = [t for t in whole.trials if t.benchmark == one.benchmark]
        assert math.prod(len(v.values) for v in one.varied) == sum(not t.control for t in mine)
        varied = {axis for v in one.varied for axis in v.axes}
        held = dict((*one.named, *one.defaults))
        assert not varied & held.keys()
        for trial in mine:
            for axis, value in (*trial.cell.axes, ("backend", trial.cell.backend), ("dtype", trial.cell.dtype)):
                assert axis in varied or held[axis] == value


@pytest.mark.parametrize("of", SUITES.values(), ids=SUITES)
@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_plan_is_shown_in_lines_that_fit(of: Suite, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    planned = plan(of, device(of))
    found, tells = summaries(planned, of, slots=2), {one.benchmark: one for one in expected(planned.trials, of)}
    for line in text(of, found, width, False, tells):
        assert len(line) <= width
    whole = "\n".join(text(of, found, 10_000, True, tells))
    assert whole.count("tells apart") == len(tells)
    for one in found:
        assert all(f"    {label}\n" in f"{whole}\n" for label in one.trials)
        assert all(name in whole for name, _ in one.defaults)


def test_what_may_follow_of_a_tuning_is_told_and_not_counted() -> None:
    tune = {"lr": [0.001, 0.002], "seeds": [7, 8, 9], "extend": 3}
    of = suite(benchmarks=[{"name": "p", "kind": "pretrain", "matrix": {"lr": "tuned"}, "tune": tune}])
    tuning, compared = summaries(plan(of, "cpu"), of, slots=2)
    assert len(tuning.trials) == 2 * len(of.activations) and not compared.then
    told = "\n".join(text(of, [tuning], 10_000, trials=False, tells={}))
    assert "up to 3 rates beyond an edge" in told and "2 more seeds for the best rate" in told


@pytest.mark.parametrize(("words", "fewer"), [(["tuned", "shared"], 3), (["tuned"], 0), ("shared", 0)])
def test_trainings_that_may_be_one_are_told_as_the_most(words: object, fewer: int) -> None:
    tuned = {"name": "p", "kind": "pretrain", "matrix": {"lr": words}, "tune": {"lr": [0.001, 0.002]}}
    of = suite(seeds=[0], benchmarks=[tuned])
    tuning, compared = summaries(plan(of, "cpu"), of, slots=2)
    assert (tuning.joined, compared.joined, compared.to_json()["joined"]) == (0, fewer, fewer)
    told = "\n".join(text(of, [compared], 10_000, trials=False, tells={}))
    assert (" at most\n" in told) == (f"{fewer} fewer trainings at most" in told) == bool(fewer)


def test_launches_that_may_follow_are_told_and_not_counted() -> None:
    def then(**protocol: int) -> str:
        of = suite(benchmarks=[{"name": "s", "kind": "speed", "protocol": protocol}])
        return summaries(plan(of, "cpu"), of, slots=2)[0].then

    assert "7 in all, while 30 s a comparison" in then(pilot=2, launches=7, budget_s=30)
    assert not then(pilot=2, launches=2)


def test_axes_that_do_not_meet_in_every_combination_stand_together() -> None:
    sizes = {"layers": [1, 2], "d_model": 32, "include": [{"layers": 3, "d_model": 48}]}
    of = suite(benchmarks=[{"name": "p", "kind": "pretrain", "matrix": {**sizes, "lr": 0.01}}])
    (one,) = summaries(plan(of, "cpu"), of, slots=2)
    varied = {v.axes: v.values for v in one.varied}
    assert varied["d_model", "layers"] == ((32, 1), (32, 2), (48, 3))
    assert ("activation",) in varied and ("seed",) in varied
    assert dict(one.named)["lr"] == 0.01 and "lr" not in dict(one.defaults)
    assert json.loads(json.dumps(one.to_json()))["named"]["lr"] == 0.01


@pytest.mark.parametrize("name", TIMED)
def test_the_guess_is_about_what_was_measured(name: str) -> None:
    """Within a factor of two of what the published run took, by its own header."""
    header = json.loads((ROOT / "results" / "published" / name / "run.json").read_text(encoding="utf-8"))
    began, ended = (datetime.fromisoformat(header[key]) for key in ("started_at", "finished_at"))
    try:
        planned = plan(Suite.model_validate(header["suite"]), header["device"])
    except ValidationError:
        pytest.skip("its protocol has changed since, so it cannot be planned again")
    guess = planned.seconds(header["environment"]["cores"])
    assert 0.5 < guess / (ended - began).total_seconds() < 2
