"""Launches that follow from launches: who takes part, when it ends, and that the records alone decide it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from builders import suite

from polybench.launches import Rules
from polybench.plan.jobs import Plan, plan
from polybench.plan.launching import Launching
from polybench.plan.suite import Suite
from polybench.record import Measurement, Record, Status
from polybench.trial import Job, Trial

# How many times the reference's seconds each takes. By 3 % and by nothing is hard to tell from 3 %.
FACTORS = {"relu": 0.5, "swiglu": 1.0, "polynorm": 1.035}
Seconds = Callable[[Trial], float]


def suite_of(**protocol: float | int) -> Suite:
    chosen = {"launches": 40, "blocks": 8, **protocol}
    matrix = {"tokens": [64, 128]}
    speed = {"name": "sp", "kind": "speed", "backends": ["eager", "checkpoint"], "matrix": matrix, "protocol": chosen}
    return suite(benchmarks=[speed, {"name": "mem", "kind": "memory"}])


def carried_out(job: Job, duration_s: float = 1.0, sd: float = 0.03, failing: str = "") -> list[Record]:
    """What a machine would say whose launches differ by `sd`."""
    found = []
    for trial in job.trials:
        shift = sd * np.random.default_rng([crc32(trial.activation.encode()), trial.seed]).normal()
        factor = FACTORS[trial.cell.activation] * math.exp(shift)
        values = Measurement("total_time", tuple(1e-3 * factor * (1 + 0.001 * b) for b in range(8)))
        status = Status.FAILED if trial.cell.activation == failing else Status.OK
        found.append(Record(trial, status, (values,), {}, "", f"2026-01-01T00:00:{trial.seed:02}", duration_s))
    return found


def all_of(of: Suite, part: Callable[[Plan], Plan] = lambda whole: whole, **how: float | str) -> list[Record]:
    """Every job in turn until nothing is planned any more."""
    records: list[Record] = []
    while True:
        there = {r.trial.id for r in records}
        todo = [j for j in part(plan(of, "cpu", records=records)).jobs if not {t.id for t in j.trials} <= there]
        if not todo:
            return records
        for job in todo:
            records += carried_out(job, **how)  # type: ignore[arg-type]


def launches(records: list[Record], activation: str, **of: str | int) -> int:
    """Of the second copy, if that is meant; in the fewest places."""
    mine = [r.trial for r in records if r.trial.activation == activation and r.trial.benchmark == "sp"]
    places = {t.cell for t in mine}
    return min(sum(t.cell == place for t in mine) for place in places)


def test_a_plan_without_records_is_the_pilot_of_everything() -> None:
    made = plan(suite_of(), "cpu")
    assert {t.seed for t in made.trials if t.benchmark == "sp"} == set(range(5))
    jobs = [j for j in made.jobs if j.alone]
    assert len(jobs) == 5 * 2 and {len(j.trials) for j in jobs} == {2 * 4}
    assert plan(suite_of(launches=3), "cpu").trials == plan(suite_of(launches=3, pilot=3), "cpu").trials


def test_who_is_settled_leaves_and_the_reference_stays_in_every_launch() -> None:
    records = all_of(suite_of())
    assert launches(records, "relu") == 5
    assert launches(records, "polynorm") > 5
    for backend in ("eager", "checkpoint"):
        mine = [r.trial for r in records if r.trial.benchmark == "sp" and r.trial.cell.backend == backend]
        for cell in {t.cell for t in mine if t.cell.activation == "polynorm"}:
            for copy in (False, True):
                seeds = {t.seed for t in mine if t.cell == cell.of("swiglu") and t.control is copy}
                assert seeds == {t.seed for t in mine if t.cell == cell}


def test_the_same_records_plan_the_same_whatever_was_known_in_between() -> None:
    """Half-done rounds ask for the rest of the round; a resumed run goes the same way."""
    of, records = suite_of(), all_of(suite_of())
    whole = {t.id for t in plan(of, "cpu", records=records).trials}
    assert whole == {r.trial.id for r in records}
    for cut in range(0, len(records), 7):
        part = plan(of, "cpu", records=records[:cut])
        assert {t.id for t in part.trials} <= whole
        assert {r.trial.id for r in records[:cut]} <= {t.id for t in part.trials}


def test_where_everything_is_clear_the_pilot_is_all() -> None:
    assert launches(all_of(suite_of(), sd=1e-4), "polynorm") == 5


def test_a_narrower_interval_takes_more_launches() -> None:
    assert launches(all_of(suite_of(half_width=0.02)), "relu") > 5
    assert launches(all_of(suite_of(half_width=0.5)), "relu") == 5


@pytest.mark.parametrize(("budget_s", "most"), [(3.0, 5), (6.5, 6), (9.0, 9), (1000.0, 40)])
def test_no_launch_begins_that_would_pass_the_budget_of_its_place(budget_s: float, most: int) -> None:
    records = all_of(suite_of(budget_s=budget_s, half_width=0.001), duration_s=1.0)
    assert max(r.trial.seed for r in records) == most - 1


def test_what_is_made_ready_before_the_first_launch_is_no_part_of_the_budget() -> None:
    of = suite_of(budget_s=7.0, half_width=0.001)
    jobs = plan(of, "cpu").jobs
    slow = [replace(r, duration_s=60.0 if r.trial.seed == 0 else 1.0) for j in jobs for r in carried_out(j)]
    assert max(t.seed for t in plan(of, "cpu", records=slow).trials) == 6


def test_nobody_waits_for_an_activation_that_failed() -> None:
    records = all_of(suite_of(), failing="polynorm")
    assert launches(records, "polynorm") == launches(records, "relu") == 5


def test_without_its_reference_nothing_is_compared_and_so_nothing_goes_on() -> None:
    assert launches(all_of(suite_of(), failing="swiglu"), "polynorm") == 5


def test_a_filter_goes_on_with_what_it_chose() -> None:
    of = suite_of()
    records = [r for j in plan(of, "cpu", "sp/polynorm*").jobs for r in carried_out(j)]
    further = plan(of, "cpu", "sp/polynorm*", records)
    assert {t.cell.activation for t in further.trials} == {"swiglu", "polynorm"}
    assert max(t.seed for t in further.trials) > 4


def test_names_stay_where_the_pilot_is_one_launch_and_a_filter_with_one_goes_on() -> None:
    of = suite_of(pilot=1)
    whole, chosen = plan(of, "cpu"), "sp/polynorm/checkpoint/tokens=64"
    records = [r for j in plan(of, "cpu", chosen).jobs for r in carried_out(j)]
    further = plan(of, "cpu", chosen, records)
    assert {r.trial.seed for r in records} == {0}
    assert max(t.seed for t in further.trials) > 0
    assert further.labels == whole.labels == plan(of, "cpu", records=all_of(of)).labels


def test_without_a_budget_launches_go_on_to_the_last() -> None:
    """Rules that a kind of a package makes need not have one."""
    of = suite_of(half_width=1e-6)
    trials = plan(of, "cpu").jobs[0].trials
    records = [r for r in all_of(of) if r.trial.cell in {t.cell for t in trials}]
    known = Launching(Rules(5, 40, 0.03, 1e-6), "total_time", "swiglu", records)
    assert known.ends(trials) == 40


def test_the_time_that_is_told_holds_what_may_follow() -> None:
    of = suite_of(budget_s=100.0)
    assert plan(of, "cpu").seconds(1) == pytest.approx(
        sum(min(100.0, 40 * j.seconds) for j in plan(of, "cpu").jobs if j.alone and not j.trials[0].seed)
        + sum(j.seconds for j in plan(of, "cpu").jobs if not j.alone)
    )
