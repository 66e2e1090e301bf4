"""The rectangle that is measured: every cell once, in an order that keeps timings undisturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import suite
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.errors import NothingMeasured, RegistryError
from polybench.kind import kind_of
from polybench.plan.jobs import plan
from polybench.plan.making import Maker
from polybench.plan.matrix import MatrixError, combinations
from polybench.trial import Cell, Trial

HERE = Path(__file__).parents[1]
BENCHMARKS = [
    {"name": "pre", "kind": "pretrain", "seeds": [4, 5], "matrix": {"corpus": "stdlib", "lr": [0.01, 0.1]}},
    {"name": "mem", "kind": "memory", "backends": ["eager", "checkpoint"], "matrix": {"tokens": [64, 128]}},
    {"name": "sp", "kind": "speed", "dtypes": ["float32", "bfloat16"], "backends": ["eager", "checkpoint"],
     "matrix": {"level": ["block", "activation"]}, "protocol": {"launches": 2}},
]  # fmt: skip
SUITE = suite(benchmarks=BENCHMARKS)
FULL = plan(SUITE, "cpu")
LABELS = [t.label for t in FULL.trials]


def test_every_cell_of_the_rectangle_is_there_exactly_once() -> None:
    found = Counter((t.benchmark, t.cell.activation, t.cell.backend, t.cell.dtype, t.cell.axes, t.seed, t.control)
                    for t in FULL.trials)  # fmt: skip
    assert set(found.values()) == {1}
    sizes = Counter(t.benchmark for t in FULL.trials if not t.control)
    assert sizes == {"pre": 3 * 2 * 2, "mem": 3 * 2 * 2, "sp": 3 * 2 * 2 * 2 * 2}
    assert len({t.id for t in FULL.trials}) == len(FULL.trials)
    assert FULL.cells == 3 * 2 + 3 * 2 * 2 + 3 * 2 * 2 * 2


def test_repeats_are_the_seeds_or_the_launches_or_one() -> None:
    seeds = {name: {t.seed for t in FULL.trials if t.benchmark == name} for name in ("pre", "mem", "sp")}
    assert seeds == {"pre": {4, 5}, "mem": {0}, "sp": {0, 1}}


def test_a_second_copy_of_the_reference_stands_in_every_interleaved_group_and_nowhere_else() -> None:
    for job in FULL.jobs:
        controls = [t for t in job.trials if t.control]
        groups = {(t.cell.backend, t.cell.dtype, t.cell.axes) for t in job.trials}
        if not kind_of(job.trials[0].cell.kind).interleaved:
            assert not controls
            assert len(job.trials) == 1
            continue
        assert {t.cell.activation for t in controls} == {SUITE.reference}
        assert {(t.cell.backend, t.cell.dtype, t.cell.axes) for t in controls} == groups
        assert len(controls) == len(groups)


def test_a_job_holds_one_point_and_one_launch() -> None:
    for job in FULL.jobs:
        assert len({(t.benchmark, t.seed, t.cell.dtype, t.cell.axes) for t in job.trials}) == 1


def test_jobs_that_must_be_alone_come_first_and_launch_after_launch() -> None:
    alone = [j.alone for j in FULL.jobs]
    assert alone == sorted(alone, reverse=True)
    assert {j.trials[0].benchmark for j in FULL.jobs if j.alone} == {"sp"}
    launches = [j.trials[0].seed for j in FULL.jobs if j.alone]
    assert launches == sorted(launches)
    assert set(launches) == {0, 1}


def test_launches_of_a_place_are_copies_of_one_process_and_other_jobs_are_not() -> None:
    places = {}
    for job in FULL.jobs:
        assert job.fork == job.alone
        if job.fork:
            cell = job.trials[0].cell
            assert places.setdefault(job.process, (cell.dtype, cell.axes)) == (cell.dtype, cell.axes)
    assert len(places) == 4
    threads = suite(benchmarks=[{"name": "sp", "kind": "speed", "matrix": {"threads": 2}}])
    profiled = suite(benchmarks=[{"name": "sp", "kind": "speed", "protocol": {"profile": True}}])
    assert not any(j.fork for j in plan(threads, "cpu").jobs)
    assert {j.trials[0].seed for j in plan(profiled, "cpu").jobs if not j.fork} == {0}


def test_on_a_gpu_every_job_is_alone_and_launches_share_a_process_that_is_never_copied() -> None:
    made = plan(SUITE, "cuda")
    assert all(j.alone and not j.fork for j in made.jobs)
    assert {j.process for j in made.jobs} == {"", "sp/0", "sp/1"}
    assert {t.cell.device for t in made.trials} == {"cuda"}


def test_ids_are_the_same_in_every_process() -> None:
    """A baseline made on another day, with another hash seed, must find its cells."""
    code = "import test_jobs; print([t.id for t in test_jobs.FULL.trials])"
    paths = os.pathsep.join(map(str, (Path(__file__).parent, HERE, HERE.parent)))
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "7"})  # fmt: skip
    assert ran.stdout.strip() == str([t.id for t in FULL.trials])


def test_ids_do_not_hang_on_the_protocol_the_order_of_axes_or_the_name_of_the_benchmark() -> None:
    careful = suite(
        benchmarks=[{**b, "protocol": {"blocks": 99, "launches": 2}} for b in BENCHMARKS if b["name"] == "sp"]
    )
    assert {t.id for t in plan(careful, "cpu").trials} == {t.id for t in FULL.trials if t.benchmark == "sp"}
    one = FULL.trials[0].cell
    assert Cell.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert Cell.from_json({**one.to_json(), "axes": dict(reversed(one.axes))}).id == one.id


@pytest.mark.parametrize("field", ["kind", "version", "activation", "backend", "device", "dtype", "axes"])
def test_every_field_of_a_cell_is_in_its_id(field: str) -> None:
    one = FULL.trials[0].cell
    other = {**one.to_json(), field: {"axes": {"x": 1}, "version": 99}.get(field, "other")}
    assert Cell.from_json(other).id != one.id


def test_trials_survive_the_way_to_a_worker() -> None:
    for trial in FULL.trials:
        assert Trial.from_json(json.loads(json.dumps(trial.to_json()))) == trial


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(LABELS).flatmap(lambda s: st.tuples(st.integers(0, len(s) - 1), st.integers(1, 20), st.just(s))))
def test_a_filter_keeps_what_matches_and_the_reference_beside_it(cut: tuple[int, int, str]) -> None:
    at, length, label = cut
    pattern = label[at : at + length]
    kept = plan(SUITE, "cpu", pattern).trials
    ids = {t.id for t in kept}
    assert {t.id for t in FULL.trials if pattern in t.label} <= ids <= {t.id for t in FULL.trials}
    for trial in kept:
        beside = Trial(trial.benchmark, trial.cell.of(SUITE.reference), trial.seed)
        assert beside.id in ids
        shown = (trial.label, FULL.labels.of_trial(trial))
        assert any(pattern in label for label in shown) or trial.cell.activation == SUITE.reference
        if kind_of(trial.cell.kind).interleaved:
            assert Trial(beside.benchmark, beside.cell, beside.seed, True).id in ids


def test_a_glob_matches_the_whole_label() -> None:
    kept = plan(SUITE, "cpu", "mem/relu/*").trials
    assert {t.cell.activation for t in kept} == {"relu", "swiglu"}
    assert {t.benchmark for t in kept} == {"mem"}


@pytest.mark.parametrize("pattern", ["nothing", "mem/nothing/*", "relu*"])
def test_a_filter_that_matches_nothing_is_said(pattern: str) -> None:
    with pytest.raises(NothingMeasured, match="matches no trial"):
        plan(SUITE, "cpu", pattern)


AXES = st.fixed_dictionaries(
    {"tokens": st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
     "d_model": st.lists(st.integers(8, 11), min_size=1, max_size=3, unique=True)}
)  # fmt: skip


@given(AXES, st.data())
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
def test_a_matrix_is_the_product_less_what_is_excluded_plus_what_is_included(axes: Any, data: st.DataObject) -> None:
    kind = kind_of("memory")
    exclude = {"tokens": data.draw(st.sampled_from(axes["tokens"]))}
    include = {"d_model": data.draw(st.integers(8, 20))}
    whole = combinations(axes, kind)
    assert len(whole) == len(axes["tokens"]) * len(axes["d_model"])
    left = [c for c in whole if c["tokens"] != exclude["tokens"]]
    if left:
        assert combinations({**axes, "exclude": [exclude]}, kind) == left
    else:
        with pytest.raises(MatrixError, match="nothing is left"):
            combinations({**axes, "exclude": [exclude]}, kind)
    extra = {**whole[0], **include}
    assert combinations({**axes, "include": [include]}, kind) == whole + ([extra] if extra not in whole else [])
    assert combinations({**axes, "include": [include, include]}, kind)[len(whole) + 1 :] == []


def test_an_exclude_that_matches_nothing_is_blamed_by_its_place() -> None:
    with pytest.raises(MatrixError, match="excludes nothing") as caught:
        combinations({"tokens": [1, 2], "exclude": [{"tokens": 1}, {"tokens": 3}]}, kind_of("memory"))
    assert caught.value.route == ("exclude", 1)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (lambda axes, protocol: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda axes, protocol: sys.exit("out"), "it raised SystemExit"),
        (lambda axes, protocol: float("nan"), "it says nan"),
        (lambda axes, protocol: -1, "it says -1"),
        (lambda axes, protocol: None, "TypeError"),
    ],
    ids=range(5),
)
def test_a_kind_that_cannot_say_how_long_it_takes_is_broken_in_a_sentence(said: Any, why: str) -> None:
    benchmark = SUITE.benchmarks[1]
    kind = replace(kind_of("memory"), seconds=said)
    with pytest.raises(RegistryError, match=f"kind 'memory' is broken: its `seconds` cannot .*{why}"):
        Maker(kind, kind.protocol(), benchmark).job(FULL.jobs[-1].trials)


def test_what_may_run_side_by_side_is_divided_by_the_slots() -> None:
    alone = sum(j.seconds for j in FULL.jobs if j.alone)
    assert FULL.seconds(1) == pytest.approx(sum(j.seconds for j in FULL.jobs))
    assert FULL.seconds(4) == pytest.approx(alone + (FULL.seconds(1) - alone) / 4)
