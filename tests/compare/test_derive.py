"""What follows from curves: the loss at equal time, and the way to the reference's final loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from builders import across, exact, record, run, suite
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.compare import derive
from polybench.compare.step_time import tokens_a_step
from polybench.record import Measurement, Record

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)
FALLING = [3.0, 2.9, 2.8, 2.7, 2.6, 2.5]


def curves(loss_of: dict[str, list[float]], step_s: dict[str, float]) -> list[Record]:
    """Pretrain records with a look at the loss every ten steps."""
    return [
        record("pretrain", name, {"val_curve": values, "train_time": [i * step_s[name] for i in range(len(values))]},
               steps=[10 * i for i in range(len(values))], batch=2, seq_len=8, d_model=8)
        for name, values in loss_of.items()
    ]  # fmt: skip


def test_loss_at_equal_time_and_the_way_to_the_references_loss() -> None:
    """relu is as good a step as swiglu at twice the speed; polynorm never gets there."""
    flat = [3.0, 2.9, 2.85, 2.8, 2.75, 2.7]
    measured = run(
        curves({"swiglu": FALLING, "relu": FALLING, "polynorm": flat}, {"swiglu": 2, "relu": 1, "polynorm": 1})
    )
    one = derive.with_derived(measured)
    of = {r.trial.cell.activation: {m.metric: m.values[0] for m in r.measurements[2:]} for r in one.records}
    names = ("equal_time_loss", "steps_to_reference", "tokens_to_reference", "time_to_reference")
    assert of["relu"] == dict(zip(names, (2.5, 50, 800, 5), strict=True))
    assert of["swiglu"] == dict(zip(names, (pytest.approx(2.75), 50, 800, 10), strict=True))
    assert of["polynorm"] == dict(zip(names, (2.7, math.inf, math.inf, math.inf), strict=True))
    assert set(one.metrics["pretrain"]) >= set(names)
    never = next(c for c in across(measured, only="time_to_reference") if c.cell.activation == "polynorm")
    assert (never.change, never.outcome, never.note) == (
        None,
        "unresolved",
        "time_to_reference not reached by 1 of 1 seeds",
    )


def spending(flops_of: dict[str, float], seen: list[float] | None = None, **axes: int) -> dict[str, float]:
    """The loss at equal FLOPs of activations whose curves all fall alike, a look every ten steps."""
    records = []
    for name, flops in flops_of.items():
        values = {"val_curve": FALLING, "train_time": [0, 1, 2, 3, 4, 5], "flops_per_token": [flops]}
        values |= {"tokens_seen": seen} if seen else {}
        curves_of = {"steps": [0, 10, 20, 30, 40, 50], "batch": 2, "seq_len": 8, "d_model": 8, **axes}
        one = record("pretrain", name, values, **curves_of)
        records.append(replace(one, measurements=tuple(
            replace(m, steps=tuple(curves_of["steps"])) if m.metric == "tokens_seen" else m for m in one.measurements
        )))  # fmt: skip
    found = derive.with_derived(run(records)).records
    return {r.trial.cell.activation: m.values[0] for r in found if (m := r.get("equal_flops_loss"))}


def test_loss_at_equal_flops_is_read_where_the_cheapest_had_ended() -> None:
    """A token of swiglu costs a quarter more, so it gets four fifths of the tokens: 40 of 50 steps."""
    assert spending({"swiglu": 1.25e6, "relu": 1e6}) == {"relu": 2.5, "swiglu": pytest.approx(2.6)}
    assert spending({"swiglu": 3.0, "relu": 3.0}) == {"relu": 2.5, "swiglu": 2.5}


def test_recorded_tokens_count_instead_of_equal_steps() -> None:
    """A batch that grows: half of the tokens come in the last ten steps."""
    seen = [0.0, 100.0, 200.0, 300.0, 400.0, 800.0]
    assert spending({"swiglu": 2.0, "relu": 1.0}, seen) == {"relu": 2.5, "swiglu": pytest.approx(2.6)}


def test_without_the_cost_of_a_token_there_is_no_loss_at_equal_flops() -> None:
    one = derive.with_derived(run(curves({"relu": FALLING, "swiglu": FALLING}, {"relu": 1, "swiglu": 1})))
    assert all(r.get("equal_flops_loss") is None for r in one.records)


@pytest.mark.parametrize("flops", [0.0, -1.0])
def test_a_cost_that_no_training_has_is_none(flops: float) -> None:
    records = finished({"swiglu": [3.4, 3.2, 3.0], "relu": [3.4, 3.2, 3.0]}, {"swiglu": 1, "relu": 1})
    records = [changed_value(r, "flops_per_token", flops) for r in records]
    assert all("equal_flops_loss" not in of and "equal_time_loss" in of for of in derived_of(records).values())


def changed_value(record: Record, metric: str, value: float) -> Record:
    return replace(record, measurements=tuple(
        replace(m, values=(value,)) if m.metric == metric else m for m in record.measurements
    ))  # fmt: skip


def test_a_batch_is_all_of_a_step_however_many_micro_batches_it_has() -> None:
    plain = record("pretrain", "relu", {"val_curve": [3.0, 2.0]}, steps=[0, 5], batch=2, seq_len=8, d_model=8)
    cell = plain.trial.cell
    parted = replace(cell, axes=(*cell.axes, ("accumulate", 2)))
    assert tokens_a_step(cell) == tokens_a_step(parted) == 16
    assert derive.tokens_at_looks(plain) == (0, 80)
    # As a run may say that comes from anybody.
    for wrong in ("", 1.7e308):
        assert tokens_a_step(replace(cell, axes=(("batch", 2), ("seq_len", wrong)))) == 0


@pytest.mark.parametrize("steps", [(0, 4), (4, 4), (4, 2), None])
def test_finished_trainings_that_are_none_are_read_along_one_schedule(steps: tuple[int, ...] | None) -> None:
    plain = record("pretrain", "relu", {"val_curve": [3.0, 2.0], "train_time": [1.0, 2.0]}, steps=[2, 4], batch=2)
    ends = (Measurement("finished_curve", (2.5, 2.0), steps), Measurement("finished_time", (1.0, 2.0), steps))
    one = replace(plain, measurements=(*plain.measurements, *ends))
    assert not derive.has_finished(one)
    (known,) = derive.with_derived(run([one], suite(reference="relu"))).records
    assert known.get("time_to_reference")


def test_losses_on_further_corpora_are_compared_under_their_names() -> None:
    values = {"relu": [3.0, 4.0], "swiglu": [2.9, 4.5]}
    one = run(
        record("pretrain", name, {"other_losses": found, "val_loss": [1.0]}, seed=seed, eval_corpora="stdlib+sotu")
        for name, found in values.items()
        for seed in range(3)
    )
    more = derive.with_derived(one)
    for record_ in more.records:
        there = {m: record_.get(f"loss on {m}").values[0] for m in ("stdlib", "sotu")}  # type: ignore[union-attr]
        assert list(there.values()) == values[record_.trial.cell.activation]
    text = {c.metric.name: c.change.value for c in across(one) if c.cell.activation == "relu" and c.change}
    assert text["loss on stdlib"] == pytest.approx(0.1) and text["loss on sotu"] == pytest.approx(-0.5)


def test_a_run_without_curves_is_left_as_it_is() -> None:
    one = run(exact({"relu": 1}))
    assert derive.with_derived(one) is one


def test_likeness_of_the_first_layer_and_of_the_others_makes_up_that_of_all() -> None:
    alike = (0.25, 0.5, 0.75, 1.0)
    one = record("pretrain", "relu", {"layer_cosine": list(alike)}, steps=[1, 2, 3, 4], batch=2, seq_len=8, d_model=8)
    (known,) = derive.with_derived(run([one])).records
    first, later = (known.get(f"{name}_cosine").values for name in ("first_layer", "later_layers"))  # type: ignore[union-attr]
    assert (*first, *later) == (0.25, 0.75) and first[0] + 3 * later[0] == sum(alike)


def test_without_a_finished_reference_there_is_no_way_to_it() -> None:
    one = derive.with_derived(run(curves({"relu": FALLING}, {"relu": 1})))
    assert [m.metric for m in one.records[0].measurements] == ["val_curve", "train_time", "equal_time_loss"]


def finished(
    loss_of: dict[str, list[float]], step_s: dict[str, float], at: Sequence[int] = (25, 50, 100), **axes: int
) -> list[Record]:
    """Records whose trainings were finished at these steps; along their schedule the loss is 1 higher until the end."""
    records = []
    for name, losses in loss_of.items():
        seconds = [0, *(step_s[name] * s for s in at[-2:])]
        looks = [9.0, losses[-2] + 1, losses[-1]]
        values = {"val_curve": looks, "train_time": seconds, "flops_per_token": [1.0]}
        one = record("pretrain", name, values, steps=[0, *at[-2:]], batch=2, seq_len=8, d_model=8, **axes)
        ends = (
            Measurement("finished_curve", tuple(losses), tuple(at)),
            Measurement("finished_time", tuple(step_s[name] * s for s in at), tuple(at)),
        )
        records.append(replace(one, measurements=(*one.measurements, *ends)))
    return records


def derived_of(records: list[Record]) -> dict[str, dict[str, float]]:
    found = derive.with_derived(run(records)).records
    names = {m.name for m in derive.DERIVED}
    return {
        r.trial.cell.activation: {m.metric: m.values[0] for m in r.measurements if m.metric in names} for r in found
    }


def test_with_branches_losses_are_read_between_finished_trainings() -> None:
    """Losses that fall by 0.2 a doubling: a straight line over the logarithm, whatever the schedules showed."""
    falling = [3.4, 3.2, 3.0]
    of = derived_of(finished({"swiglu": falling, "relu": falling, "polynorm": [3.5, 3.3, 3.1]},
                             {"swiglu": 2**0.5, "relu": 1, "polynorm": 2}))  # fmt: skip
    assert of["relu"]["equal_time_loss"] == pytest.approx(3.0)
    assert of["swiglu"]["equal_time_loss"] == pytest.approx(3.1)
    assert of["polynorm"]["equal_time_loss"] == pytest.approx(3.3)
    assert all(of[name]["equal_flops_loss"] == pytest.approx(end) for name, end in (("relu", 3.0), ("polynorm", 3.1)))
    assert of["polynorm"]["steps_to_reference"] == math.inf
    assert of["relu"]["time_to_reference"] == pytest.approx(100)
    sooner = derived_of(finished({"swiglu": falling, "relu": [3.3, 3.1, 2.9]}, {"swiglu": 1, "relu": 1}))["relu"]
    assert sooner["steps_to_reference"] == pytest.approx(100 / 2**0.5)
    assert sooner["tokens_to_reference"] == pytest.approx(1600 / 2**0.5)


def test_no_loss_is_read_where_no_training_was_finished() -> None:
    """relu is done before polynorm's least budget; and without branches everything is along one schedule."""
    records = finished({"swiglu": [3.4, 3.2, 3.0], "polynorm": [3.5, 3.3, 3.1]}, {"swiglu": 1, "polynorm": 8})
    of = derived_of(records)
    assert "equal_time_loss" in of["swiglu"] and "equal_time_loss" not in of["polynorm"]
    assert derive.reading(derive.EQUAL_TIME, records) == ""
    one_schedule = curves({"relu": FALLING}, {"relu": 1})
    assert derive.reading(derive.EQUAL_TIME, [*records, *one_schedule]) == "along one schedule"
    assert derive.reading(derive.VAL_CURVE, one_schedule) == ""


LINE = st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), min_size=1, max_size=8).map(lambda ps: (
    sorted(x for x, _ in ps), [y for _, y in ps]))  # fmt: skip


@LAWS
@given(LINE, st.floats(-10, 120))
def test_between_stays_within_its_neighbours_and_constant_outside(
    line: tuple[list[float], list[float]], x: float
) -> None:
    xs, ys = line
    found = derive.interpolated(x, xs, ys)
    assert min(ys) - 1e-9 <= found <= max(ys) + 1e-9
    if x <= xs[0]:
        assert found == ys[0]
    if x > xs[-1]:
        assert found == ys[-1]
    if len(set(xs)) == len(xs):
        assert [derive.interpolated(a, xs, ys) for a in xs] == pytest.approx(ys)


@LAWS
@given(LINE, st.floats(-6, 6))
def test_first_at_is_the_first_place_where_the_line_is_that_low(
    line: tuple[list[float], list[float]], goal: float
) -> None:
    xs, ys = line
    found = derive.first_at(goal, ys, xs)
    assert (found == math.inf) == (min(ys) > goal)
    if found < math.inf:
        assert xs[0] <= found <= xs[-1]
        assert all(y > goal for x, y in zip(xs, ys, strict=True) if x < found)
        assert derive.first_at(goal - 0.5, ys, xs) >= found
        if (
            len(set(xs)) == len(xs)
            and min(b - a for a, b in zip(xs, [*xs[1:], 1e9], strict=True)) > 1e-3
            and ys[0] > goal
        ):
            assert derive.interpolated(found, xs, ys) == pytest.approx(goal, abs=1e-6)
