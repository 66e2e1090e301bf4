"""Tuning a learning rate: what is tried next follows from the records, and the comparison gets what was found."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from bowls import GRID, Bowls, bowl, study
from builders import suite
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.errors import SuiteError
from polybench.message import Ending
from polybench.plan import tuning
from polybench.plan.check import load_suite
from polybench.plan.jobs import Plan, plan
from polybench.plan.shard import Shard
from polybench.plan.suite import Suite
from polybench.record import Measurement, Record, Status
from polybench.run import local, session, store
from polybench.run.merge import adopt, merge
from polybench.trial import Job, Trial


def done(trial: Trial, loss: float | None) -> Record:
    if loss is None:
        return Record(trial, Status.DIVERGED, error="the loss became nan")
    return Record(trial, Status.OK, (Measurement("val_loss", (loss,)),))


def carried_out(
    asked: Suite, losses: dict[str, Any], pattern: str | None = None, unsure: bool = False
) -> tuple[Plan, list[Record], int]:
    """Run stage after stage on made-up losses; the last plan, every record, and the number of stages.

    `unsure` lets a comparison have no rate.
    """
    records: list[Record] = []
    for stage in range(1, 20):
        made = plan(asked, "cpu", pattern, records)
        known = {r.trial.id for r in records}
        todo = [t for job in made.jobs for t in job.trials if t.id not in known]
        if not todo:
            return made, records, stage
        for trial in todo:
            rate = trial.rate if trial.rate is not None else dict(trial.cell.axes)["lr"]
            assert isinstance(rate, float) or unsure, "the comparison waits for its rate"
            compared = trial.benchmark == "pre" and unsure
            records.append(done(trial, 3.0 if compared else losses[trial.cell.activation](rate, trial.seed)))
    raise AssertionError("it never ends")


def tried(records: list[Record], name: str) -> dict[float, set[int]]:
    """The seeds of every rate that the tuning of an activation tried."""
    seeds: dict[float, set[int]] = defaultdict(set)
    for trial in (r.trial for r in records):
        if trial.benchmark == "pre.tuning" and trial.cell.activation == name:
            seeds[dict(trial.cell.axes)["lr"]].add(trial.seed)
    return seeds


def by_rate(records: list[Record], name: str) -> dict[float, list[float]]:
    """The same losses as a report reads them."""
    losses: dict[float, list[float]] = defaultdict(list)
    for r in records:
        if r.trial.benchmark == "pre.tuning" and r.trial.cell.activation == name:
            losses[dict(r.trial.cell.axes)["lr"]].append(r.measurements[0].values[0] if r.measurements else math.nan)
    return losses


def rates(records: list[Record], name: str, lr: str) -> set[float | None]:
    return {r.trial.rate for r in records
            if r.trial.cell.activation == name and dict(r.trial.cell.axes)["lr"] == lr}  # fmt: skip


def test_what_tunes_is_read_at_its_end_alone() -> None:
    branching = study(more={"schedule": "wsd", "finish_at": "0.6+0.8"})
    made, _, _ = carried_out(branching, dict.fromkeys(("relu", "polynorm", "swiglu"), bowl(0.008)))
    said = {t.benchmark: dict(t.cell.axes).get("finish_at") for t in made.trials}
    assert said == {"pre": "0.6+0.8", "pre.tuning": None}


def test_each_gets_its_own_best_rate_and_all_the_one_that_is_best_on_average() -> None:
    losses = {"relu": bowl(0.004), "polynorm": bowl(0.008), "swiglu": bowl(0.016)}
    made, records, _ = carried_out(study(), losses)
    assert not made.later
    for name, middle in (("relu", 0.004), ("polynorm", 0.008), ("swiglu", 0.016)):
        assert rates(records, name, "tuned") == {middle}
        assert rates(records, name, "shared") == {0.008}
    seeds = {t.benchmark: {r.trial.seed for r in records if r.trial.benchmark == t.benchmark} for t in made.trials}
    assert seeds == {"pre.tuning": {100, 101}, "pre": {0, 1}}


@pytest.mark.parametrize("middles", [(0.008, 0.008, 0.008), (0.004, 0.008, 0.016)])
def test_a_plan_tells_how_many_trainings_may_be_spared_where_both_rates_agree(middles: tuple[float, ...]) -> None:
    asked = study()
    before = plan(asked, "cpu")
    after, _, _ = carried_out(asked, dict(zip(("relu", "polynorm", "swiglu"), map(bowl, middles), strict=True)))
    spared = len(before.later) - sum(job.trials[0].benchmark == "pre" for job in after.jobs)
    assert before.joined == len(before.later) / 2 and after.joined == 0
    assert spared == before.joined * sum(middle == 0.008 for middle in middles) / 3


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


def test_further_seeds_are_spent_on_the_best_rate_and_those_close_to_it() -> None:
    losses = {"relu": bowl(0.004), "polynorm": bowl(0.008), "swiglu": bowl(0.016)}
    grid = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032]
    _, records, _ = carried_out(study(lr=grid, seeds=[100, 101, 102], lr_words="tuned"), losses)
    for name, middle in (("relu", 0.004), ("polynorm", 0.008), ("swiglu", 0.016)):
        seeds = tried(records, name)
        assert {rate for rate, of in seeds.items() if len(of) == 3} == {middle / 2, middle, middle * 2}
        assert all(of == {100} for of in seeds.values() if len(of) < 3) and len(seeds) == len(grid)


NAMES, RATES, SEEDS = ("relu", "polynorm", "swiglu"), [2.0**i / 1000 for i in range(-5, 10)], [100, 101, 102]
LOSS = st.floats(2, 4) | st.sampled_from([None])


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(st.lists(LOSS, min_size=3 * 15 * 3, max_size=3 * 15 * 3), st.integers(0, 3))
def test_whatever_the_losses_the_records_alone_tell_the_rates(found: list[float | None], extend: int) -> None:
    """Every rate that is taken is the best of those with every seed, and so are its neighbours bounded."""
    table = dict(zip(product(NAMES, RATES, SEEDS), found, strict=True))
    losses = {name: lambda rate, seed, name=name: table[name, rate, seed] for name in NAMES}
    made, records, _ = carried_out(study(lr=RATES[5:8], seeds=SEEDS, extend=extend), losses, unsure=True)
    assert not made.later and {t.id for t in made.trials} == {r.trial.id for r in records}
    of = {name: by_rate(records, name) for name in NAMES}
    for name in NAMES:
        assert rates(records, name, "tuned") == {tuning.best_rate(of[name])}
        assert rates(records, name, "shared") == {tuning.shared_rate(of)}
        best = tuning.best_rate(of[name])
        for rate, kept in of[name].items():
            assert len(kept) in (1, len(SEEDS))
            assert best is None or len(kept) == len(SEEDS) or not tuning.close(rate, best) or not math.isfinite(kept[0])
        assert len(of[name]) <= 3 + 2 * extend


def test_where_both_rates_agree_one_training_serves_both() -> None:
    losses = {"relu": bowl(0.008), "polynorm": bowl(0.008), "swiglu": bowl(0.016)}
    made, records, _ = carried_out(study(), losses)
    jobs = [job for job in made.jobs if job.trials[0].benchmark == "pre"]
    both = {"tuned", "shared"}
    for name in NAMES:
        words = [{dict(t.cell.axes)["lr"] for t in j.trials} for j in jobs if j.trials[0].cell.activation == name]
        assert sorted(map(sorted, words)) == sorted(
            [["tuned"], ["shared"]] * 2 if name == "swiglu" else [sorted(both)] * 2
        )
    assert all(job.as_one == (len(job.trials) > 1) for job in jobs)
    assert len({t.id for t in made.trials}) == len(made.trials) == len(records)
    assert made.seconds(1) == pytest.approx(sum(j.seconds for j in made.jobs))
    alone = carried_out(study(), losses, "pre/*lr=shared*")[0].jobs
    assert {len(job.trials) for job in alone} == {1}


def test_a_comparison_waits_for_all_tuning_of_its_place() -> None:
    """Else the own rate would be trained before it is known whether the shared one is the same."""
    made, records = plan(study(), "cpu"), []
    losses = {"relu": bowl(0.008), "polynorm": bowl(0.008), "swiglu": bowl(0.064)}
    while made.later:
        assert not any(t.benchmark == "pre" for job in made.jobs for t in job.trials)
        known = {r.trial.id for r in records}
        fresh = [t for j in made.jobs for t in j.trials if t.id not in known]
        records += [done(t, losses[t.cell.activation](dict(t.cell.axes)["lr"], t.seed)) for t in fresh]
        made = plan(study(), "cpu", None, records)


def test_names_of_tuning_trials_stay_when_further_seeds_follow() -> None:
    before = plan(study(), "cpu")
    after, _, _ = carried_out(study(), dict.fromkeys(NAMES, bowl(0.008)))
    assert all(before.labels.of_trial(t) == after.labels.of_trial(t) for t in after.trials)


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
    assert len(made.trials) == 3 * 3 + 3 * 2 * 2
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


def test_what_is_trained_once_is_recorded_twice_and_said_to_be_one(tmp_path: Path) -> None:
    losses = {"relu": bowl(0.008), "polynorm": bowl(0.008), "swiglu": bowl(0.016)}
    executor = Bowls(losses)
    local.carry_out(session.begin(study(), tmp_path / "run", None, "made up"), make_executor=lambda: executor)
    found = store.load(tmp_path / "run")
    assert found.header["planned"] == len(found.records) == len(executor.trained) + 4
    assert len({t.id for t in executor.trained}) == len(executor.trained)
    by_id = {r.trial.id: r for r in found.records}
    twins = [r for r in found.records if r.same_as]
    assert {(r.trial.cell.activation, r.trial.seed) for r in twins} == set(product(("relu", "polynorm"), (0, 1)))
    for twin in twins:
        first = by_id[twin.same_as]
        assert (first.trial.rate, first.trial.seed, first.measurements) == (0.008, twin.trial.seed, twin.measurements)
        assert twin.duration_s == 0 and {dict(r.trial.cell.axes)["lr"] for r in (first, twin)} == {"tuned", "shared"}
    assert not session.resume(tmp_path / "run", None, force=False).todo.jobs
    lines = (tmp_path / "run" / "records.jsonl").read_text().splitlines()
    lost = next(i for i, line in enumerate(lines) if '"same_as"' in line)
    (tmp_path / "run" / "records.jsonl").write_text("\n".join(lines[:lost] + lines[lost + 1 :]) + "\n")
    (again,) = session.resume(tmp_path / "run", None, force=False).todo.jobs
    assert again.as_one and len(again.trials) == 2
    assert Job.from_json(again.to_json()) == again


def test_a_rate_that_moves_beyond_the_edge_leaves_no_cell_with_the_training_of_another(tmp_path: Path) -> None:
    """What failed there once is tried again and is best, for one of them alone."""

    def edge(rate: float, seed: int) -> float:
        return bowl(0.016)(rate, seed) + (1 if rate > 0.016 else 0)  # type: ignore[no-any-return]

    def moved(rate: float, seed: int) -> float:
        return bowl(0.064)(rate, seed) - 0.5 if rate > 0.016 else edge(rate, seed)  # type: ignore[no-any-return]

    losses = dict.fromkeys(NAMES, edge)
    local.carry_out(session.begin(study(), tmp_path / "run", None, "made up"), make_executor=lambda: Bowls(losses))
    path = tmp_path / "run" / "records.jsonl"
    records = [Record.from_json(json.loads(line)) for line in path.read_text().splitlines()]
    assert sum(bool(r.same_as) for r in records) == len(NAMES) * 2
    failing = [r for r in records if (r.trial.cell.activation, dict(r.trial.cell.axes)["lr"]) == ("relu", 0.032)]
    lines = [json.dumps((replace(r, status=Status.FAILED) if r in failing else r).to_json()) for r in records]
    path.write_text("\n".join(lines) + "\n")
    again, executor = session.resume(tmp_path / "run", None, force=False), Bowls({**losses, "relu": moved})
    local.carry_out(again, make_executor=lambda: executor)
    found = store.load(tmp_path / "run").records
    assert rates(list(found), "relu", "tuned") == {0.064} and rates(list(found), "relu", "shared") == {0.016}
    by_id = {r.trial.id: r for r in found}
    assert {r.trial.cell.activation for r in found if r.same_as} == {*NAMES} - {"relu"}
    assert all(by_id[r.same_as].trial.rate == r.trial.rate for r in found if r.same_as)
    assert not session.resume(tmp_path / "run", None, force=False).todo.jobs


def test_parts_and_their_merger_hold_both_names_of_one_training(tmp_path: Path) -> None:
    losses = dict.fromkeys(NAMES, bowl(0.008))
    executor = Bowls(losses)
    parts = [tmp_path / "1", tmp_path / "2"]
    for i, path in enumerate(parts, 1):
        part = session.begin(study(seeds=[100]), path, None, "made up", Shard(i, 2))
        local.carry_out(part, make_executor=lambda: executor)
    merge(parts, tmp_path / "all")
    again = [tmp_path / "3", tmp_path / "4"]
    for i, path in enumerate(again, 1):
        whole = session.resume(tmp_path / "all", None, force=False, remote=True)
        local.carry_out(session.part_of(whole, Shard(i, 2), path), make_executor=lambda: executor)
    found = adopt(tmp_path / "all", again)
    assert found.header["planned"] == len(found.records) == 3 * 3 + 3 * 2 * 2 and not found.header["missing"]
    assert len(executor.trained) == 3 * 3 + 3 * 2
    assert sum(bool(r.same_as) for r in found.records) == 3 * 2
    assert not session.resume(tmp_path / "all", None, force=False).todo.jobs


class Failing(Bowls):
    """Nothing comes of these, as where the time is up."""

    def __init__(self, losses: dict[str, Any], fails: Any):
        super().__init__(losses)
        self.fails = fails

    def run(self, job: Job, on_message: Any) -> Ending:
        return Ending(Status.TIMED_OUT, "too slow") if self.fails(job.trials[0]) else super().run(job, on_message)


def test_all_of_an_activation_follow_a_rate_that_moves_after_a_failed_trial_is_run_again(tmp_path: Path) -> None:
    """Beside that trial, one of the comparison is run again that was planned at the rate before."""
    asked = study("tuned", seeds=[100], extend=0)
    losses = dict.fromkeys(NAMES, bowl(0.008))

    def fails(trial: Trial) -> bool:
        return trial.cell.activation == "relu" and (trial.cell.get("lr") == 0.008 or trial.seed == 1)

    first = session.begin(asked, tmp_path / "run", None, "made up")
    local.carry_out(first, make_executor=lambda: Failing(losses, fails))
    assert rates(list(store.load(tmp_path / "run").records), "relu", "tuned") == {0.004}
    again = session.resume(tmp_path / "run", None, force=False)
    local.carry_out(again, make_executor=lambda: Bowls(losses))
    assert rates(list(store.load(tmp_path / "run").records), "relu", "tuned") == {0.008}
    assert not session.resume(tmp_path / "run", None, force=False).todo.jobs


def test_what_a_part_trained_again_at_a_rate_that_moved_is_brought_back_and_stays(tmp_path: Path) -> None:
    losses = dict.fromkeys(NAMES, bowl(0.008))
    session.begin(study("tuned", seeds=[100], extend=0), tmp_path / "run", None, "made up", remote=True)
    parts = [tmp_path / f"{i}" for i in range(4)]  # each as far as is known when it begins

    def fails(trial: Trial) -> bool:
        return trial.cell.activation == "relu" and trial.cell.get("lr") == 0.008

    for i, path in enumerate(parts):
        whole = session.resume(tmp_path / "run", None, force=False, remote=True)
        part = session.part_of(whole, Shard(1, 1), path)
        executor = Failing(losses, fails) if i < 2 else Bowls(losses)
        local.carry_out(part, make_executor=lambda executor=executor: executor)
        adopt(tmp_path / "run", [path])
    found = adopt(tmp_path / "run", parts)  # as where what was left behind is brought back again
    assert rates(list(found.records), "relu", "tuned") == {0.008}
    assert not session.resume(tmp_path / "run", None, force=False).todo.jobs


WRONG = {
    "needs the benchmark's tune": {"matrix": {"lr": "tuned"}},
    "nothing asks for it": {"matrix": {"lr": 0.01}, "tune": {"lr": GRID}},
    "more than a factor of 2 apart": {"matrix": {"lr": "tuned"}, "tune": {"lr": [0.001, 0.003]}},
    "among those of the comparison": {"matrix": {"lr": "shared"}, "tune": {"lr": GRID, "seeds": [7, 1]}},
    "seed 7 stands in this list twice": {"matrix": {"lr": "tuned"}, "tune": {"lr": GRID, "seeds": [7, 7]}},
    "0.001 stands in this list twice": {"matrix": {"lr": "tuned"}, "tune": {"lr": [0.001, 0.001]}},
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
