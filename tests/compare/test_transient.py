"""A training that is read in its transient is told from one that has settled, on runs whose answer is known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from builders import record, run, section
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.compare.comparisons import Comparisons
from polybench.compare.transient import MOST_APART, Transient, transients
from polybench.record import Record
from polybench.report import answer
from polybench.run.store import Run, load

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
# What was published as quick with 200 steps and as pretrain-cpu with 400: with four times the steps the order of
# the activations was another.
EARLY = json.loads((Path(__file__).parent / "transients.json").read_text(encoding="utf-8"))
LAWS = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def trained(name: str, seed: int, steps: Sequence[int], losses: Sequence[float], more: Mapping[int, float]) -> Record:
    values = {"val_curve": losses, "train_time": list(map(float, steps)), "val_loss": [losses[-1]]}
    one = record("pretrain", name, values, seed=seed, steps=steps)
    finished = {
        metric: replace(one.measurements[0], metric=metric, values=values, steps=tuple(more))
        for metric, values in (("finished_curve", tuple(more.values())), ("finished_time", tuple(map(float, more))))
    }
    return replace(one, measurements=(*one.measurements, *finished.values())) if more else one


def found(one: Run) -> list[Transient]:
    return list(transients(Comparisons.of(one)))


@pytest.mark.parametrize("name", EARLY)
def test_what_was_published_too_early_is_called_so(name: str) -> None:
    steps, losses = EARLY[name]["steps"], EARLY[name]["losses"]
    one = run(trained(a, seed, steps, c, {}) for a, cs in losses.items() for seed, c in enumerate(cs))
    (early,) = found(one)
    assert early.steps == steps[-1] and early.apart and early.apart > 4 * MOST_APART and early.late > 0.17
    assert not early.at_least and 3 < early.needed / early.steps < 10
    (text,) = [f.text for f in section(answer, one).findings if f.question == "Read in the transient"]
    assert f"{steps[-1]} steps" in text and "if seeds stay as many steps apart" in text


def test_a_tuning_is_judged_at_its_best_rates() -> None:
    records = [
        replace(one, trial=replace(one.trial, benchmark="pretrain.tuning", cell=cell))
        for seed in range(2)
        for rate, late in ((0.001, 0.4), (0.002, 0.0))
        for one in [trained("relu", seed, (0, 100, 200), (6.0, 4.0, 3.8 + late + 0.2 * seed), {})]
        for cell in [replace(one.trial.cell, axes=(("lr", rate),))]
    ]
    (early,) = found(run(records))
    assert early.benchmark == "pretrain.tuning" and early.spread == pytest.approx(0.2 / 2**0.5)


def test_what_has_settled_is_left_alone() -> None:
    assert not found(load(PUBLISHED / "pretrain-cpu-0.9m"))


def power_law(steps: int, lag: float = 0.0, at: Sequence[float] = (0, 0.25, 0.5, 0.75, 1)) -> list[float]:
    """2 + 5 (t + 1)^-0.5, some steps late."""
    return [2 + 5 * (max(share * steps - lag, 0) + 1) ** -0.5 for share in at]


@LAWS
@given(st.integers(400, 4000), st.floats(-0.3, 0.3))
def test_seeds_are_told_apart_in_steps(steps: int, late: float) -> None:
    """Two seeds, one of them so many steps late, are apart by half that over root two, in either order."""
    looks = [round(steps * share / 4) for share in range(5)]
    curves = [power_law(steps), power_law(steps, late * steps)]
    one = run(trained("swiglu", seed, looks, c, {}) for seed, c in enumerate(curves))
    early = found(one)
    assert early == found(run(reversed(one.records)))
    if abs(late) > 0.12:
        assert early
    if abs(late) < 0.02:
        assert not early


def test_finished_trainings_tell_better_what_a_doubling_brings() -> None:
    """Along a schedule the last half brings 0.4, between finished trainings only 0.1: then seeds are further apart."""
    steps, losses = [0, 50, 100], [7.0, 3.0, 2.6]
    pair = [(0, losses, 2.60), (1, [7.0, 3.01, 2.61], 2.61)]
    plain = run(trained("swiglu", seed, steps, c, {}) for seed, c, _ in pair)
    branched = run(trained("swiglu", seed, steps, c, {50: end + 0.1, 100: end}) for seed, c, end in pair)
    assert not found(plain)
    (early,) = found(branched)
    assert early.apart == pytest.approx(0.01 / math.sqrt(2) / 0.1)


def test_a_single_seed_is_judged_by_its_curve() -> None:
    (early,) = found(run([trained("swiglu", 0, [0, 5, 10], [7.0, 6.0, 5.0], {})]))
    assert early.spread is None and early.at_least and early.needed == 20
    assert not found(run([trained("swiglu", 0, [0, 5, 10], [7.0, 3.0, 2.9], {})]))
