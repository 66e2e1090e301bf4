"""The parts of a plan: disjoint, together whole, balanced, and never between times that are compared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import MACHINE, suite
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.errors import NothingMeasured, UsageError
from polybench.message import Ending, Message
from polybench.plan.jobs import Plan, plan
from polybench.plan.shard import Shard, parts
from polybench.plan.suite import Suite
from polybench.record import Measurement
from polybench.report.compose import compose
from polybench.run import local, session, store
from polybench.run.merge import adopt, merge
from polybench.trial import Job, kept_name

BENCHMARKS = [
    {"name": "sp", "kind": "speed", "backends": ["eager", "checkpoint"], "matrix": {"tokens": [64, 128, 256]},
     "protocol": {"launches": 3, "profile": True}},
    {"name": "mem", "kind": "memory", "matrix": {"tokens": [64, 128]}},
    {"name": "pre", "kind": "pretrain", "matrix": {"corpus": "stdlib", "lr": [0.01, 0.02]}},
]  # fmt: skip
SUITE = suite(benchmarks=BENCHMARKS)
FULL = plan(SUITE, "cpu").jobs
LAWS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SECONDS = st.lists(st.floats(0.1, 100), min_size=len(FULL), max_size=len(FULL))


def ids(jobs: Sequence[Job]) -> list[str]:
    return [t.id for job in jobs for t in job.trials]


@LAWS
@given(SECONDS, st.integers(1, 12))
def test_every_job_lies_in_exactly_one_part_in_the_order_it_had(seconds: list[float], count: int) -> None:
    jobs = [replace(j, seconds=s) for j, s in zip(FULL, seconds, strict=True)]
    divided = parts(jobs, count)
    assert len(divided) == count
    assert sorted(i for part in divided for i in ids(part)) == sorted(ids(jobs))
    places = {i: n for n, i in enumerate(ids(jobs))}
    for part in divided:
        found = [places[i] for i in ids(part)]
        assert found == sorted(found)
    assert divided == parts(list(jobs), count)
    for i, part in enumerate(divided, 1):
        if part:
            assert Shard(i, count).of(jobs) == part


@LAWS
@given(SECONDS, st.integers(1, 12))
def test_all_launches_of_one_place_of_a_timing_kind_lie_in_one_part(seconds: list[float], count: int) -> None:
    jobs = [replace(j, seconds=s) for j, s in zip(FULL, seconds, strict=True)]
    where: dict[object, set[int]] = {}
    for i, part in enumerate(parts(jobs, count)):
        for job in part:
            if job.trials[0].benchmark == "sp":
                where.setdefault((job.trials[0].cell.axes, job.trials[0].cell.dtype), set()).add(i)
    assert len(where) == 3
    assert all(len(found) == 1 for found in where.values())


@LAWS
@given(st.lists(st.floats(0.1, 100), min_size=4, max_size=4), st.integers(1, 6))
def test_losses_are_spread_so_that_no_part_is_late_by_more_than_one_job(seconds: list[float], count: int) -> None:
    """Whatever a group of seeds weighs, one that fills more than a fair part is taken apart."""
    jobs = [j for j in FULL if j.trials[0].benchmark == "pre"]
    jobs = [replace(j, seconds=seconds[i % 4]) for i, j in enumerate(jobs)]
    loads = [sum(j.seconds for j in part) for part in parts(jobs, count)]
    fair = sum(loads) / count
    assert max(loads) <= 2 * fair + max(j.seconds for j in jobs)
    if count == 1:
        assert loads == [pytest.approx(sum(j.seconds for j in jobs))]


def test_the_activations_of_a_seed_stay_together_where_there_is_room() -> None:
    jobs = [j for j in FULL if j.trials[0].benchmark == "pre"]
    for count, together in ((2, 1), (len(jobs), 3)):
        seeds = [{(j.trials[0].cell.axes, j.trials[0].seed) for j in part} for part in parts(jobs, count)]
        first = next(iter(seeds[0]))
        assert sum(first in found for found in seeds) == together


def test_on_a_gpu_losses_are_spread_too() -> None:
    jobs = [j for j in plan(SUITE, "cuda").jobs if j.trials[0].benchmark == "pre"]
    assert all(j.alone for j in jobs)
    assert all(len(part) == 1 for part in parts(jobs, len(jobs)))


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/3/5", "1.5/3", "１/３"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"say which part of how many, such as 2/3"):
        Shard.parse(text)


def test_a_part_beyond_the_last_job_is_empty_and_said_so() -> None:
    assert str(Shard.parse("2/3")) == "2/3"
    with pytest.raises(NothingMeasured, match="shard 9/9 is empty: these 2 jobs fill 2"):
        Shard(9, 9).of(FULL[-2:])


class Fake:
    """Measures one byte for every trial."""

    def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
        for i in range(len(job.trials)):
            on_message(Message(i, Measurement("saved_bytes", (1.0,))))
        return Ending()

    def stop(self) -> None:
        pass


def test_a_part_is_a_run_that_can_be_resumed_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "capture", lambda: MACHINE)
    memory = suite(benchmarks=[BENCHMARKS[1]])
    current = session.begin(memory, tmp_path / "run", None, "toy.yaml", Shard(2, 3))
    assert current.header["planned"] == len(current.todo.trials) == 2
    local.carry_out(replace(current, todo=Plan(current.todo.jobs[:1])), make_executor=Fake)
    again = session.resume(tmp_path / "run", None, force=False)
    assert ids(again.todo.jobs) == ids(current.todo.jobs[1:])
    assert (again.done, again.header["shard"], again.header["planned"]) == (1, "2/3", 2)
    local.carry_out(again, make_executor=Fake)
    assert not session.resume(tmp_path / "run", None, force=False).todo.jobs
    run = store.load(tmp_path / "run")
    assert {r.machine for r in run.records} == {current.machine} != {""}
    document = compose(run)
    assert ("part", "2/3 of the plan") in document.facts
    assert [n for n in document.notes if "part 2/3" in n and "polybench merge" in n]
    assert not [n for n in document.notes if "not complete" in n]


def test_a_part_of_what_is_left_leaves_the_run_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "capture", lambda: MACHINE)
    whole = session.begin(suite(benchmarks=[BENCHMARKS[1]]), tmp_path / "run", None, "toy.yaml")
    local.carry_out(replace(whole, todo=Plan(whole.todo.jobs[:2])), make_executor=Fake)
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    monkeypatch.setattr(session, "capture", lambda: {**MACHINE, "cpu": "of a node"})
    rest = session.resume(tmp_path / "run", None, force=False, remote=True)
    rest = replace(rest, header={**rest.header, "sources": [], "missing": ["x"]})
    both = [session.part_of(rest, Shard(i, 2), tmp_path / f"part{i}") for i in (1, 2)]
    assert sorted(i for part in both for i in ids(part.todo.jobs)) == sorted(ids(whole.todo.jobs[2:]))
    header = json.loads((tmp_path / "part1" / "run.json").read_text())
    assert (header["shard"], header["environment"]["cpu"]) == ("1/2", "of a node")
    assert not {"sources", "missing"} & set(header)
    assert ids(session.resume(tmp_path / "part1", None, force=False).todo.jobs) == ids(both[0].todo.jobs)
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before


def test_a_part_goes_on_with_the_launches_of_its_places_and_of_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is stopped; where two differ by little, launches follow."""

    class Timed(Fake):
        def run(self, job: Job, on_message: Callable[[Message], None]) -> Ending:
            for i, t in enumerate(job.trials):
                shift = 0.03 * ((7 * t.seed + 3 * i) % 5 - 2)
                on_message(Message(i, Measurement("total_time", tuple(1e-3 * (1.03 + shift) for _ in range(8)))))
            return Ending()

    monkeypatch.setattr(session, "capture", lambda: MACHINE)
    speed = {**BENCHMARKS[0], "protocol": {"launches": 12}}
    begun = [
        session.begin(suite(benchmarks=[speed]), tmp_path / f"part{i}", None, "toy.yaml", Shard(i, 2)) for i in (1, 2)
    ]
    for part in begun:
        local.carry_out(replace(part, todo=replace(part.todo, jobs=part.todo.jobs[:1])), make_executor=Timed)
        again = session.resume(part.path, None, force=False)
        local.carry_out(again, make_executor=Timed)
        assert not session.resume(part.path, None, force=False).todo.jobs
    found = [store.load(part.path).records for part in begun]
    assert {max(r.trial.seed for r in records) for records in found} == {11}
    cells = [{r.trial.cell for r in records} for records in found]
    assert not cells[0] & cells[1]
    merged = merge([part.path for part in begun], tmp_path / "whole")
    assert not merged.header["missing"]
    assert merged.header["planned"] == len(merged.records) == sum(map(len, found))


@pytest.mark.parametrize("count", [2, 3])
def test_seeds_that_are_added_are_shared_out_among_the_parts_whenever_each_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(session, "capture", lambda: MACHINE)

    def of(*seeds: int) -> Suite:
        return suite(benchmarks=[BENCHMARKS[2]], seeds=list(seeds))

    paths = [tmp_path / f"part{i}" for i in range(1, count + 1)]
    for i, path in enumerate(paths, 1):
        local.carry_out(session.begin(of(0, 1), path, None, "toy.yaml", Shard(i, count)), make_executor=Fake)
        for seeds in ((2, 3), (2, 3, 7)) if i == 1 else ((2, 3, 7),):
            local.carry_out(session.resume(path, of(0, 1, *seeds), force=False), make_executor=Fake)
        assert not session.resume(path, None, force=False).todo.jobs
        assert store.load(path).header["looks"]["pre"][0] == [0, 1]
    found = [{r.trial.id for r in store.load(path).records} for path in paths]
    assert all(found) and sum(map(len, found)) == len(set.union(*found))
    merged = merge(paths, tmp_path / "whole")
    assert not merged.header["missing"] and len(merged.records) == len(plan(of(0, 1, 2, 3, 7), "cpu").trials)
    places = [{(r.trial.seed, r.trial.cell.place) for r in store.load(p).records if r.trial.seed > 1} for p in paths]
    assert sum(map(len, places)) == len(set.union(*places))  # of a seed and place all activations are in one part


def test_a_training_that_was_cut_off_in_one_part_goes_on_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it goes on from is brought back though the part has no record, the newest counts, and it goes at the end."""
    monkeypatch.setattr(session, "capture", lambda: MACHINE)
    run = session.begin(suite(benchmarks=[BENCHMARKS[1]]), tmp_path / "run", None, "toy.yaml").path
    trial = session.resume(run, None, force=False).todo.trials[0]
    name = f"checkpoints/{kept_name(trial, 'resume')}"
    for turn in ("first", "second"):
        part = session.part_of(session.resume(run, None, False, remote=True), Shard(1, 2), tmp_path / turn)
        assert trial in part.todo.trials
        assert not (part.path / name).exists() if turn == "first" else (part.path / name).read_bytes() == b"first"
        (part.path / "checkpoints").mkdir(exist_ok=True)
        (part.path / name).unlink(missing_ok=True)
        (part.path / name).write_bytes(turn.encode())
        os.utime(part.path / name, ns=(0, len(turn)))
        adopt(run, [tmp_path / "first", part.path])
        assert (run / name).read_bytes() == turn.encode()
    last = session.resume(run, None, False, remote=True)
    part = session.part_of(last, Shard(1, 2), tmp_path / "last")
    assert not (session.part_of(last, Shard(2, 2), tmp_path / "other").path / name).exists()
    local.carry_out(part, make_executor=Fake)
    adopt(run, [tmp_path / "first", part.path])
    assert not (run / name).exists()


def test_a_part_that_is_begun_anew_on_another_machine_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "capture", lambda: MACHINE)
    whole = session.begin(suite(benchmarks=[BENCHMARKS[1]]), tmp_path / "run", None, "toy.yaml")
    part = session.part_of(whole, Shard(1, 2), tmp_path / "part")
    local.carry_out(replace(part, todo=Plan(part.todo.jobs[:1])), make_executor=Fake)
    monkeypatch.setattr(session, "capture", lambda: {**MACHINE, "cpu": "of another node"})
    again = session.resume(part.path, None, force=False)
    local.carry_out(again, make_executor=Fake)
    merged = adopt(whole.path, [part.path])
    assert [s["environment"]["cpu"] for s in merged.header["sources"]] == ["toy", "of another node"]
    assert len({r.machine for r in merged.records}) == 2
