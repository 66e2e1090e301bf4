"""What follows from curves: the loss at equal time, and the way to the reference's final loss."""

from __future__ import annotations

import math

import pytest
from builders import exact, record, run
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench import derive
from polybench.compare import across
from polybench.record import Record

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
    one = derive.with_derived(
        run(curves({"swiglu": FALLING, "relu": FALLING, "polynorm": flat}, {"swiglu": 2, "relu": 1, "polynorm": 1}))
    )
    of = {r.trial.cell.activation: {m.metric: m.values[0] for m in r.measurements[2:]} for r in one.records}
    names = ("equal_time_loss", "steps_to_reference", "tokens_to_reference", "time_to_reference")
    assert of["relu"] == dict(zip(names, (2.5, 50, 800, 5), strict=True))
    assert of["swiglu"] == dict(zip(names, (pytest.approx(2.75), 50, 800, 10), strict=True))
    assert of["polynorm"] == dict(zip(names, (2.7, math.inf, math.inf, math.inf), strict=True))
    assert set(one.metrics["pretrain"]) >= set(names)
    never = next(c for c in across(one, only="time_to_reference") if c.cell.activation == "polynorm")
    assert (never.change, never.outcome, never.note) == (
        None,
        "unresolved",
        "time_to_reference not reached by 1 of 1 seeds",
    )


def test_a_run_without_curves_is_left_as_it_is() -> None:
    one = run(exact({"relu": 1}))
    assert derive.with_derived(one) is one


def test_without_a_finished_reference_there_is_no_way_to_it() -> None:
    one = derive.with_derived(run(curves({"relu": FALLING}, {"relu": 1})))
    assert [m.metric for m in one.records[0].measurements] == ["val_curve", "train_time", "equal_time_loss"]


LINE = st.lists(st.tuples(st.floats(0, 100), st.floats(-5, 5)), min_size=1, max_size=8).map(lambda ps: (
    sorted(x for x, _ in ps), [y for _, y in ps]))  # fmt: skip


@LAWS
@given(LINE, st.floats(-10, 120))
def test_between_stays_within_its_neighbours_and_constant_outside(
    line: tuple[list[float], list[float]], x: float
) -> None:
    xs, ys = line
    found = derive.between(x, xs, ys)
    assert min(ys) - 1e-9 <= found <= max(ys) + 1e-9
    if x <= xs[0]:
        assert found == ys[0]
    if x > xs[-1]:
        assert found == ys[-1]
    if len(set(xs)) == len(xs):
        assert [derive.between(a, xs, ys) for a in xs] == pytest.approx(ys)


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
            assert derive.between(found, xs, ys) == pytest.approx(goal, abs=1e-6)
