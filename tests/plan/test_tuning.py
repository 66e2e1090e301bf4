"""Tuning a learning rate: what is tried next follows from the records, and the comparison gets what was found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from builders import suite

from polybench.errors import SuiteError
from polybench.message import Ending, Message
from polybench.plan.check import load_suite
from polybench.plan.jobs import Plan, plan
from polybench.plan.suite import Suite
from polybench.record import Measurement, Record, Status
from polybench.run import local, session, store
from polybench.trial import Job, Trial

GRID = [0.004, 0.008, 0.016]


def study(**tune: Any) -> Suite:
    asked = {"lr": GRID, "seeds": [100, 101], **tune}
    matrix = {"corpus": "stdlib", "lr": ["tuned", "shared"]}
    return suite(seeds=[0, 1], benchmarks=[{"name": "pre", "kind": "pretrain", "matrix": matrix, "tune": asked}])


def bowl(middle: float) -> Any:
    """A loss that is least at a rate, and 0.1 per factor of two worse on both sides of it."""
    return lambda rate, seed: 3 + 0.1 * abs(math.log2(rate / middle)) + 0.001 * seed


def done(trial: Trial, loss: float | None) -> Record:
    if loss is None:
        return Record(trial, Status.DIVERGED, error="the loss became nan")
    return Record(trial, Status.OK, (Measurement("val_loss", (loss,)),))


def carried_out(asked: Suite, losses: dict[str, Any], pattern: str | None = None) -> tuple[Plan, list[Record], int]:
    """Run stage after stage on made-up losses; the last plan, every record, and the number of stages."""
    records: list[Record] = []
    for stage in range(1, 20):
        made = plan(asked, "cpu", pattern, records)
        known = {r.trial.id for r in records}
        todo = [t for job in made.jobs for t in job.trials if t.id not in known]
        if not todo:
            return made, records, stage
        for trial in todo:
            rate = trial.rate if trial.rate is not None else dict(trial.cell.axes)["lr"]
            assert isinstance(rate, float), "the comparison waits for its rate"
            records.append(done(trial, losses[trial.cell.activation](rate, trial.seed)))
    raise AssertionError("it never ends")


def rates(records: list[Record], name: str, lr: str) -> set[float | None]:
    return {r.trial.rate for r in records
            if r.trial.cell.activation == name and dict(r.trial.cell.axes)["lr"] == lr}  # fmt: skip


def test_each_gets_its_own_best_rate_and_all_the_one_that_is_best_on_average() -> None:
    losses = {"relu": bowl(0.004), "polynorm": bowl(0.008), "swiglu": bowl(0.016)}
    made, records, _ = carried_out(study(), losses)
    assert not made.later
    for name, middle in (("relu", 0.004), ("polynorm", 0.008), ("swiglu", 0.016)):
        assert rates(records, name, "tuned") == {middle}
        assert rates(records, name, "shared") == {0.008}
    seeds = {t.benchmark: {r.trial.seed for r in records if r.trial.benchmark == t.benchmark} for t in made.trials}
    assert seeds == {"pre.tuning": {100, 101}, "pre": {0, 1}}


@pytest.mark.parametrize(("middle", "extra"), [(0.002, {0.002, 0.001}), (0.128, {0.032, 0.064, 0.128, 0.256}),
                                               (0.008, set())])  # fmt: skip
def test_the_grid_grows_while_the_best_lies_at_an_edge(middle: float, extra: set[float]) -> None:
    losses = {"relu": bowl(middle), "polynorm": bowl(0.008), "swiglu": bowl(0.008)}
    _, records, _ = carried_out(study(), losses)
    tried = {dict(r.trial.cell.axes)["lr"] for r in records
             if r.trial.benchmark == "pre.tuning" and r.trial.cell.activation == "relu"}  # fmt: skip
    assert tried == {*GRID, *extra}
    assert rates(records, "relu", "tuned") == {middle}


def test_the_shared_grid_grows_for_all_while_the_shared_best_lies_at_an_edge() -> None:
    losses = {"relu": bowl(0.0005), "polynorm": bowl(0.004), "swiglu": bowl(0.002)}
    _, records, _ = carried_out(study(), losses)
    assert {rates(records, name, "shared").pop() for name in losses} == {0.002}
    for name in losses:
        tried = {dict(r.trial.cell.axes)["lr"] for r in records
                 if r.trial.benchmark == "pre.tuning" and r.trial.cell.activation == name}  # fmt: skip
        assert {0.001, 0.002} <= tried


def test_where_every_rate_diverges_lower_ones_are_tried() -> None:
    losses = {"relu": lambda rate, seed: None if rate > 0.001 else 3.0, "polynorm": bowl(0.008), "swiglu": bowl(0.008)}
    _, records, _ = carried_out(study(), losses)
    assert rates(records, "relu", "tuned") <= {
        0.0005,
        0.00025,
    }  # of two that tie the lower, until the grid may not grow
    assert rates(records, "swiglu", "shared") <= {0.001, 0.0005}


def test_the_grid_grows_only_so_often() -> None:
    losses = dict.fromkeys(("relu", "polynorm", "swiglu"), lambda rate, seed: -rate)
    _, records, _ = carried_out(study(extend=2), losses)
    assert max(dict(r.trial.cell.axes)["lr"] for r in records if r.trial.benchmark == "pre.tuning") == 0.064
    assert rates(records, "relu", "tuned") == {0.064}


def test_a_rate_that_diverges_with_any_seed_is_not_taken() -> None:
    def fragile(rate: float, seed: int) -> float | None:
        return None if rate >= 0.008 and seed == 101 else 3 - rate

    losses = {"relu": fragile, "polynorm": bowl(0.008), "swiglu": bowl(0.008)}
    _, records, _ = carried_out(study(), losses)
    assert rates(records, "relu", "tuned") == {0.004}
    assert rates(records, "polynorm", "shared") == {0.004}


def test_where_nothing_ends_well_the_comparison_runs_into_a_sentence() -> None:
    records: list[Record] = []
    losses = {"relu": lambda rate, seed: None, **dict.fromkeys(("polynorm", "swiglu"), bowl(0.008))}
    for _ in range(10):
        made = plan(study(), "cpu", None, records)
        known = {r.trial.id for r in records}
        fresh = [t for j in made.jobs for t in j.trials if t.id not in known and t.benchmark == "pre.tuning"]
        records += [done(t, losses[t.cell.activation](dict(t.cell.axes)["lr"], t.seed)) for t in fresh]
    assert not made.later
    broken = [t for t in made.trials if t.benchmark == "pre" and t.rate is None]
    found = {(t.cell.activation, dict(t.cell.axes)["lr"]) for t in broken}
    assert found == {("relu", "tuned"), *((name, "shared") for name in losses)}


def test_before_its_tuning_a_comparison_waits_and_is_counted() -> None:
    made = plan(study(), "cpu")
    assert {t.benchmark for j in made.jobs for t in j.trials} == {"pre.tuning"}
    assert {t.benchmark for j in made.later for t in j.trials} == {"pre"}
    assert len(made.trials) == 3 * 3 * 2 + 3 * 2 * 2
    assert made.seconds(1) == pytest.approx(sum(j.seconds for j in (*made.jobs, *made.later)))


def test_a_filter_on_the_comparison_keeps_its_tuning() -> None:
    losses = dict.fromkeys(("relu", "polynorm", "swiglu"), bowl(0.008))
    _, records, _ = carried_out(study(), losses, "pre/relu/*lr=tuned*")
    compared = {r.trial.cell.activation for r in records if r.trial.benchmark == "pre"}
    assert compared == {"relu", "swiglu"}
    only, _, _ = carried_out(study(), losses, "pre.tuning/relu/*")
    assert {t.benchmark for t in only.trials} == {"pre.tuning"}


def test_what_varies_by_source_is_tuned_once() -> None:
    matrix = {"corpus": "stdlib", "lr": "tuned", "varies": ["both", "init", "data"]}
    tune = {"lr": GRID, "seeds": [100]}
    asked = suite(seeds=[0], benchmarks=[{"name": "pre", "kind": "pretrain", "matrix": matrix, "tune": tune}])
    tuning = [t for t in plan(asked, "cpu").trials if t.benchmark == "pre.tuning"]
    assert len(tuning) == len({t.id for t in tuning}) == 3 * 3
    assert {dict(t.cell.axes)["varies"] for t in tuning} == {"both"}


class Bowls:
    """An executor whose trainings end where the bowls say."""

    def __init__(self, losses: dict[str, Any]):
        self.losses = losses

    def run(self, job: Job, on_message: Any) -> Ending:
        (trial,) = job.trials
        rate = trial.rate or dict(trial.cell.axes)["lr"]
        loss = self.losses[trial.cell.activation](rate, trial.seed)
        on_message(Message(0, Measurement("val_loss", (loss,))))
        return Ending()

    def stop(self) -> None:
        pass


def test_a_session_goes_through_all_stages_and_resumes_with_the_same_rates(tmp_path: Path) -> None:
    losses = {"relu": bowl(0.032), "polynorm": bowl(0.008), "swiglu": bowl(0.016)}
    current = session.begin(study(), tmp_path / "run", None, "made up")
    local.carry_out(current, make_executor=lambda: Bowls(losses))
    found = store.load(tmp_path / "run")
    assert found.header["planned"] == len(found.records)
    assert rates(list(found.records), "relu", "tuned") == {0.032}
    assert not session.resume(tmp_path / "run", None, force=False).todo.jobs
    lines = (tmp_path / "run" / "records.jsonl").read_text().splitlines()
    (tmp_path / "run" / "records.jsonl").write_text("\n".join(lines[:-5]) + "\n")
    again = session.resume(tmp_path / "run", None, force=False)
    local.carry_out(again, make_executor=lambda: Bowls(losses))
    ids = {r.trial.id: (r.trial.rate, r.measurements) for r in store.load(tmp_path / "run").records}
    assert ids == {r.trial.id: (r.trial.rate, r.measurements) for r in found.records}


WRONG = {
    "needs the benchmark's tune": {"matrix": {"lr": "tuned"}},
    "nothing asks for it": {"matrix": {"lr": 0.01}, "tune": {"lr": GRID}},
    "more than a factor of 2 apart": {"matrix": {"lr": "tuned"}, "tune": {"lr": [0.001, 0.003]}},
    "among those of the comparison": {"matrix": {"lr": "shared"}, "tune": {"lr": GRID, "seeds": [7, 1]}},
    "stands in this list twice": {"matrix": {"lr": "tuned"}, "tune": {"lr": [0.001, 0.001]}},
    "trains nothing": {"kind": "memory", "tune": {"lr": GRID}},
    "is kept for the tuning": {"name": "x.tuning"},
    "ffn_width": {"matrix": {"ffn_width": 0}},
    "there is no preset": {"matrix": {"preset": "giant"}},
    "cannot be divided into accumulate": {"matrix": {"batch": 4, "accumulate": 3}},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_mistake_is_one_sentence_with_its_line(message: str, tmp_path: Path) -> None:
    item = {"name": "pre", "kind": "pretrain", **WRONG[message]}
    if item["kind"] == "pretrain":
        item["matrix"] = {"corpus": "stdlib", **item.get("matrix", {})}
    path = tmp_path / "s.yaml"
    path.write_text(f"suite: s\nactivations: [relu, gelu]\nreference: relu\nseeds: [0, 1]\nbenchmarks:\n  - {item}\n")
    with pytest.raises(SuiteError, match=message) as caught:
        load_suite(path)
    assert all(p.line == 6 for p in caught.value.problems)
