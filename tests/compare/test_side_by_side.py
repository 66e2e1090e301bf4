"""Base and head of one comparison: aligned, settled and judged, all as functions of what was stored."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from polybench.compare.alignment import Alignment
from polybench.compare.chosen import chosen
from polybench.compare.conclusion import judged
from polybench.compare.in_turns import Turns, decided, limit, settled
from polybench.compare.judged import Judged
from polybench.compare.side_by_side import failing, undecided
from polybench.errors import NothingMeasured
from polybench.launches import Rules
from polybench.measure.speed_metrics import THROTTLED
from polybench.record import Measurement, Record, Status
from polybench.run.comparison_folder import AGAIN, Stored
from polybench.run.side import BASE, CONTROL, HEAD, SIDES
from polybench.run.side_plan import Request, SidePlan, plan_here
from polybench.run.store import Run
from polybench.stats import Estimate
from polybench.trial import Job, Trial

SUITE = """
suite: sides
activations: [relu, gelu, swiglu]
reference: swiglu
seeds: [0, 1, 2]
benchmarks:
  - {name: speed, kind: speed, matrix: {tokens: 4, d_model: 16}}
  - {name: memory, kind: memory, matrix: {tokens: 4, d_model: 16}}
gate:
  - {metric: total_time, tolerance: 5%}
  - {metric: saved_bytes}
"""
COPIES = "2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SidePlan:
    return planned(tmp_path_factory.mktemp("suite"), SUITE)


def planned(folder: Path, text: str) -> SidePlan:
    (folder / "suite.yaml").write_text(text, encoding="utf-8")
    return plan_here(Request(str(folder / "suite.yaml")))


def without(plan: SidePlan, activation: str, why: str = "") -> SidePlan:
    def left(jobs: tuple[Job, ...]) -> tuple[Job, ...]:
        kept = (replace(j, trials=tuple(t for t in j.trials if t.cell.activation != activation)) for j in jobs)
        return tuple(j for j in kept if j.trials)

    return replace(plan, timed=left(plan.timed), others=left(plan.others), lacks={activation: why} if why else {})


def launch(trial: Trial, number: int, factor: float, blocks: int = 9, base_s: float = 1e-3) -> Record:
    """Blocks that drift alike on every side; a launch differs from others by up to a per cent."""
    draw = random.Random(f"{trial.cell.activation}{number}{factor}")
    own = 1 + draw.uniform(-0.01, 0.01) * (factor != 1.0)
    values = tuple(base_s * (1 + 0.1 * b) * factor * own * (1 + draw.uniform(-1e-3, 1e-3)) for b in range(blocks))
    measured = (Measurement("total_time", values),)
    return Record(replace(trial, seed=number), Status.OK, measured, started_at=f"{COPIES}/{number}", duration_s=1.0)


def stored(
    base: SidePlan,
    head: SidePlan | None = None,
    slower: Mapping[str, float] | None = None,
    *,
    again: Mapping[str, float] | None = None,
    control: float = 1.001,
    launches: int = 7,
    bytes_of: Mapping[str, int] | None = None,
    base_s: float = 1e-3,
) -> Stored:
    head = head or base
    records: dict[str, list[Record]] = {side: [] for side in SIDES}
    for place in Alignment(base, head).places:
        for side, job in place.items():
            for trial in job.trials:
                name = trial.cell.activation
                arms = {BASE: (1.0, 1.0), CONTROL: (control, control)}
                first, second = arms.get(side, ((slower or {}).get(name, 1.0), (again or {}).get(name, 1.0)))
                records[side] += [launch(trial, k, first, base_s=base_s) for k in range(launches)]
                if again is not None and name in again:
                    records[side] += [launch(trial, AGAIN + k, second, base_s=base_s) for k in range(launches)]
    for side, jobs in Alignment(base, head).others.items():
        for trial in (t for job in jobs for t in job.trials):
            size = 64.0 + (side == HEAD) * (bytes_of or {}).get(trial.cell.activation, 0)
            records[side].append(Record(trial, Status.OK, (Measurement("saved_bytes", (size,)),), started_at=COPIES))
    plans = {BASE: base, HEAD: head}
    runs = {side: run(plans[HEAD if side == HEAD else BASE], side, records[side]) for side in SIDES}
    return Stored(Path("c"), "suite.yaml", runs, plans, {side: side for side in SIDES})


def run(plan: SidePlan, side: str, records: list[Record]) -> Run:
    header = {"suite": plan.suite, "environment": plan.environment, "metrics": plan.metrics, "device": "cpu"}
    return Run(Path("c") / side, header, tuple(records))


def outcomes(found: Judged) -> dict[str, str]:
    return {f"{v.label} {v.metric.name}": v.outcome for v in found.verdicts if v.outcome != "pass"}


def changed(one: Stored, side: str, change: Mapping[str, object], activation: str = "relu") -> Stored:
    """The comparison with other records of one activation on one side."""
    records = tuple(
        replace(r, **change) if r.trial.cell.activation == activation else r  # type: ignore[arg-type]
        for r in one.runs[side].records
    )
    return replace(one, runs={**one.runs, side: replace(one.runs[side], records=records)})


def test_equal_code_passes_in_every_cell(plan: SidePlan) -> None:
    found = judged(stored(plan))
    assert (found.code, len(found.verdicts), outcomes(found)) == (0, 6, {})
    assert found.reason == "compare passed: 6 gated cells (head against base)"


TUNED = """
  - {name: trained, kind: pretrain, activations: [relu, swiglu], matrix: {lr: tuned}, tune: {lr: [0.1, 0.2]}}
gate:
  - {metric: val_loss}
"""


def test_what_cannot_be_measured_side_by_side_is_not_comparable_and_says_why(plan: SidePlan, tmp_path: Path) -> None:
    """On both sides, or on one: never missing, and never passed over."""
    tuned = planned(tmp_path, SUITE.replace("gate:\n", TUNED.lstrip("\n")))
    for base, cells in ((tuned, 8), (plan, 8)):
        found = judged(stored(base, tuned))
        assert (found.code, len(found.verdicts)) == (4, cells)
        assert outcomes(found) == {f"trained/{a} val_loss": "not comparable" for a in ("relu", "swiglu")}
        assert "trained tunes its rate" in found.reason
    text = SUITE.replace("gate:\n", TUNED.lstrip("\n").replace("lr: tuned}, tune: {lr: [0.1, 0.2]}", "}"))
    alone = judged(stored(planned(tmp_path, text), planned(tmp_path, text + "launcher: torchrun\n")))
    assert outcomes(alone) == {f"trained/{a} val_loss": "not comparable" for a in ("relu", "swiglu")}
    assert "launcher: torchrun" in alone.reason


@pytest.mark.parametrize(
    ("pattern", "labels"),
    [
        ("gelu", {"speed/gelu", "memory/gelu", "speed/swiglu", "memory/swiglu"}),  # and the reference beside it
        ("memory/*", {"memory/relu", "memory/gelu", "memory/swiglu"}),
        ("speed/relu/seed=0", {"speed/relu", "speed/swiglu"}),  # as `polybench plan --trials` calls it
        ("memory/swiglu", {"memory/swiglu"}),
    ],
)
def test_a_filter_keeps_what_it_names_on_both_sides(pattern: str, labels: set[str], plan: SidePlan) -> None:
    few = chosen({BASE: plan, HEAD: plan}, pattern)
    found = judged(stored(few[BASE], few[HEAD]))
    assert {v.label for v in found.verdicts} == labels and found.code == 0


def test_a_filter_names_what_one_side_alone_has_and_refuses_what_nobody_has(plan: SidePlan) -> None:
    few = chosen({BASE: plan, HEAD: without(plan, "gelu")}, "memory/gelu")
    assert outcomes(judged(stored(few[BASE], few[HEAD]))) == {"memory/gelu saved_bytes": "missing"}
    with pytest.raises(NothingMeasured, match=r"--filter 'geglu' matches no trial; `polybench plan --trials` shows"):
        chosen({BASE: plan, HEAD: plan}, "geglu")


def test_slower_and_one_byte_more_fail_and_faster_is_a_win(plan: SidePlan) -> None:
    found = judged(stored(plan, slower={"relu": 1.08, "gelu": 0.5}, again={"relu": 1.08}, bytes_of={"swiglu": 1}))
    assert found.code == 1
    assert outcomes(found) == {
        "speed/relu total_time": "fail", "speed/gelu total_time": "improved", "memory/swiglu saved_bytes": "fail",
    }  # fmt: skip
    (verdict,) = (v for v in found.verdicts if v.outcome == "fail" and v.metric.unit == "s")
    assert verdict.change and verdict.change.low > 1.05 and verdict.change.value == pytest.approx(1.08, abs=0.01)
    assert "at first" in verdict.reason and "again" in verdict.reason


def test_what_does_not_recur_does_not_fail_and_is_told(plan: SidePlan) -> None:
    found = judged(stored(plan, slower={"relu": 1.2}, again={"relu": 1.0}))
    assert (found.code, outcomes(found)) == (0, {})
    (reason,) = (v.reason for v in found.verdicts if v.reason)
    assert reason.startswith("did not recur: 1.196 [")
    assert found.reason.startswith("compare passed: 6 gated cells, 1 slower at first only")


def test_what_is_not_measured_again_stays_failed(plan: SidePlan) -> None:
    one = stored(plan, slower={"relu": 1.2})
    assert [a.cell.activation for a in failing(one, Alignment(plan, plan))] == ["relu"]
    assert judged(one).code == 1


@pytest.mark.parametrize(("base_s", "code"), [(1e-6, 0), (1e-3, 1)])
def test_a_floor_keeps_what_is_slower_by_less_from_failing(base_s: float, code: int, tmp_path: Path) -> None:
    with_floor = planned(tmp_path, SUITE.replace("tolerance: 5%", "tolerance: 5%, floor: 2us"))
    assert judged(stored(with_floor, slower={"relu": 1.5}, base_s=base_s)).code == code


def test_equal_code_that_differs_decides_nothing(plan: SidePlan) -> None:
    found = judged(stored(plan, slower={"relu": 1.5}, control=1.2))
    assert found.code == 4
    assert {v.outcome for v in found.verdicts if v.metric.name == "total_time"} == {"inconclusive"}
    assert "unstable: the base once more was 1.196 [" in found.reason
    assert judged(stored(plan, control=1.2), "fail").code == 1
    assert judged(stored(plan, control=1.2), "pass").code == 0


def test_one_launch_decides_nothing(plan: SidePlan) -> None:
    found = judged(stored(plan, slower={"relu": 3.0}, launches=1))
    assert found.code == 4
    assert "one launch does not say how launches differ" in found.reason


def test_what_one_side_lacks_is_missing_or_new(plan: SidePlan) -> None:
    less = without(plan, "relu", "unknown activation 'relu'")
    gone = judged(stored(plan, less))
    assert gone.code == 1
    assert outcomes(gone) == {"speed/relu total_time": "missing", "memory/relu saved_bytes": "missing"}
    assert "unknown activation 'relu'" in gone.reason
    fresh = judged(stored(less, plan))
    assert (fresh.code, set(outcomes(fresh).values())) == (0, {"new"})
    assert fresh.reason.startswith("compare passed: 4 gated cells, 2 new")


def test_what_the_base_may_have_where_it_cannot_be_read_is_not_new(plan: SidePlan) -> None:
    base = replace(without(plan, "relu", "unknown activation 'relu'"), broken=("acts.py:3: invalid syntax",))
    unread = judged(stored(base, plan))
    assert (unread.code, set(outcomes(unread).values())) == (4, {"not comparable"})
    assert "the base cannot be read: acts.py:3: invalid syntax" in unread.reason
    assert judged(stored(base, replace(plan, broken=base.broken))).code == 0, "it is nowhere that the head can read"


def test_where_everything_is_new_nothing_was_judged(plan: SidePlan) -> None:
    nothing = replace(plan, timed=(), others=())
    assert judged(stored(nothing, plan)).code == 5
    assert judged(stored(plan, nothing)).code == 1


def test_a_kind_of_another_version_or_with_other_axes_is_not_comparable(plan: SidePlan) -> None:
    def other(job: Job) -> Job:
        cells = (replace(t.cell, version=t.cell.version + 1) for t in job.trials)
        return replace(job, trials=tuple(replace(t, cell=c) for t, c in zip(job.trials, cells, strict=True)))

    def wider(job: Job) -> Job:
        cells = (replace(t.cell, axes=tuple(sorted((*t.cell.axes, ("new", 1))))) for t in job.trials)
        return replace(job, trials=tuple(replace(t, cell=c) for t, c in zip(job.trials, cells, strict=True)))

    for change, words in ((other, "version 2 of speed became 3"), (wider, "only one side has the axes new")):
        found = judged(stored(plan, replace(plan, timed=tuple(map(change, plan.timed)))))
        assert found.code == 4
        assert set(outcomes(found).values()) == {"not comparable"} and len(outcomes(found)) == 3
        assert words in found.reason


@pytest.mark.parametrize("side", SIDES)
def test_a_side_that_fails_is_broken(plan: SidePlan, side: str) -> None:
    failed = {"status": Status.FAILED, "error": "killed", "measurements": ()}
    found = judged(changed(stored(plan, slower={"gelu": 1.2}), side, failed))
    assert found.code == 3
    assert f"{side}: failed: killed" in found.reason or side == HEAD
    assert outcomes(found)["speed/relu total_time"] == "broken"
    assert outcomes(found).get("memory/relu saved_bytes") == (None if side == CONTROL else "broken")


def test_a_launch_that_lost_blocks_has_no_pairs(plan: SidePlan) -> None:
    one = changed(stored(plan), HEAD, {"facts": {THROTTLED: "2"}})
    assert "no launch measured it" in judged(one).reason
    elsewhere = changed(stored(plan), HEAD, {"started_at": "another job"})
    assert "no launch measured it" in judged(elsewhere).reason


def test_what_is_undecided_goes_on_and_what_is_decided_does_not(plan: SidePlan) -> None:
    asked = Alignment(plan, plan).asked
    cells = [a.cell for a in asked]
    assert undecided(stored(plan, launches=7), asked, cells, 3) == set()
    assert undecided(stored(plan, launches=1), asked, cells, 3) == set(cells)


def test_the_floor_counts_where_it_is_more_than_the_tolerance() -> None:
    assert limit(0.05, 0.0, 1e-6) == limit(0.05, 2e-6, 1e-3) == math.log1p(0.05)
    assert limit(0.05, 2e-6, 1e-6) == math.log1p(2)
    assert limit(0.05, 2e-6, None) == math.log1p(0.05)


def test_of_what_is_better_when_higher_less_is_worse() -> None:
    launches = [[0.2, 0.21, 0.19, 0.2, 0.2, 0.2, 0.2]] * 7
    turns = Turns(launches, [[0.0] * 7] * 7, math.log1p(0.05), sign=-1)
    decision = decided(turns)
    assert decision.outcome == "fail"
    assert decision.reason.startswith("0.8187 [0.8187, 0.8187]")
    assert turns.ratio(Estimate(0.2, 0.1, 0.3, 7)).low == math.exp(-0.3)


def simulated(ratio: float, sd: float, draw: random.Random, tests: int, most: int = 33) -> tuple[str, int]:
    """What becomes of a cell whose launches differ by `sd`, and after how many."""
    head: list[list[float]] = []
    control: list[list[float]] = []
    for look in Rules(5, most, 0.0).looks():
        while len(head) < look:
            base = draw.gauss(0, sd)
            for arm, centre in ((head, math.log(ratio)), (control, 0.0)):
                own = centre + draw.gauss(0, sd) - base
                arm.append([own + draw.gauss(0, 0.01) for _ in range(10)])
        turns = Turns(head, control, math.log1p(0.05))
        if settled(turns, tests):
            break
    decision = decided(turns)
    lost = decision.outcome == "fail" and tests * (decision.p or 0.0) > 0.05
    return "inconclusive" if lost else decision.outcome, len(head)


@pytest.mark.parametrize(
    ("ratio", "outcome", "least"), [(1.0, "pass", 0.97), (1.15, "fail", 0.97), (1.08, "fail", 0.5)]
)
def test_looking_often_finds_what_is_there_and_nothing_else(ratio: float, outcome: str, least: float) -> None:
    """Launches that differ by 1.5 % on each side, 40 cells, a tolerance of 5 %."""
    draw = random.Random(str(ratio))
    found = [simulated(ratio, 0.015, draw, 40) for _ in range(150)]
    share = sum(what == outcome for what, _ in found) / len(found)
    assert share >= least
    if ratio == 1.0:
        assert not any(what == "fail" for what, _ in found)
        assert sum(count for _, count in found) / len(found) < 15


LOST = ("speed/relu total_time", "memory/relu saved_bytes")


@pytest.mark.parametrize("side", [BASE, HEAD])
@pytest.mark.parametrize("status", [Status.FAILED, Status.DIVERGED])
def test_what_failed_on_either_side_is_not_passed_over(side: str, status: Status, plan: SidePlan) -> None:
    lost = changed(stored(plan), side, {"status": status, "measurements": (), "error": "gone"})
    found = judged(lost)
    assert found.code == 3 and outcomes(found) == dict.fromkeys(LOST, "broken")


def test_what_the_head_alone_does_not_serve_any_more_is_missing(plan: SidePlan) -> None:
    gone = {"status": Status.UNSUPPORTED, "measurements": (), "error": "torch.compile left it"}
    head = changed(stored(plan), HEAD, gone)
    assert (judged(head).code, outcomes(judged(head))) == (1, dict.fromkeys(LOST, "missing"))
    both = changed(changed(head, BASE, gone), CONTROL, gone)
    assert outcomes(judged(both))["speed/relu total_time"] == "not comparable"
