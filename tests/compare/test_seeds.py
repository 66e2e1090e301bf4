"""Verdicts on losses keep what they promise: over looks, for *same* as for *better*, and where seeds diverged."""

from __future__ import annotations

import importlib.util
import random
import statistics
from collections.abc import Sequence
from types import ModuleType

import pytest
from builders import across, changed, losses, run, suite
from commands import ROOT

from polybench.compare.comparison import Comparison
from polybench.compare.seeds import look_of
from polybench.run.store import Run
from polybench.stats import ALPHA
from polybench.stopping import POWER

LOOK = frozenset
BASE = [3.0, 3.4, 3.2, 3.1, 3.3, 3.25]
NEAR = [0.001, -0.001, 0.002, -0.002, 0.001, 0.0005]


@pytest.fixture(scope="module")
def notes() -> ModuleType:
    """The simulation that is published, which calls the functions that judge a run."""
    spec = importlib.util.spec_from_file_location("loss_verdicts", ROOT / "results" / "notes" / "loss_verdicts.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def verdict(one: Run, name: str = "relu") -> Comparison:
    return next(c for c in across(one, only="val_loss") if c.activation == name)


def near(differences: Sequence[float], **changes: object) -> Run:
    mine = [b + d for b, d in zip(BASE, differences, strict=True)]
    return run(losses({"relu": mine, "swiglu": BASE}), suite(**changes))


def test_an_interval_within_the_margin_is_the_same_and_the_margin_is_the_suites_or_the_benchmarks() -> None:
    assert verdict(near(NEAR)).outcome == "same"
    assert verdict(near(NEAR, loss_margin=0.0015)).outcome == "unresolved"
    assert verdict(near(NEAR, loss_margin=0)).outcome == "unresolved"
    own = [{"name": "pretrain", "kind": "pretrain", "loss_margin": 0.0015}]
    assert verdict(near(NEAR, benchmarks=own)).outcome == "unresolved"


def test_what_is_told_from_zero_is_not_called_the_same_however_small() -> None:
    assert verdict(near([d - 0.005 for d in NEAR])).outcome == "better"


def test_same_is_corrected_for_the_activations_of_the_cell_as_better_is() -> None:
    """A p that passes alone falls beside another activation that is not within the margin."""
    spread = [5.4 * d for d in NEAR]
    alone = verdict(near(spread))
    assert alone.same_p is not None and ALPHA / 2 < alone.same_p <= ALPHA and alone.outcome == "same"
    mine, wild = ([b + k * d for b, d in zip(BASE, NEAR, strict=True)] for k in (5.4, 50.0))
    both = verdict(run(losses({"relu": mine, "polynorm": wild, "swiglu": BASE})))
    assert both.outcome == "unresolved" and both.same_q == pytest.approx(2 * alone.same_p)


def test_a_difference_that_one_look_resolves_a_second_look_may_not() -> None:
    differences = [0.1, 0.3, 0.08, 0.35, 0.05, 0.2]
    once = near(differences)
    assert verdict(once).outcome == "worse"
    again = verdict(changed(once, looks={"pretrain": [[0, 1, 2, 3]]}))
    assert again.p is not None and again.p > (verdict(once).p or 1.0)


def test_looks_are_counted_by_the_seeds_of_a_comparison() -> None:
    looks = (LOOK({0, 1, 2}), LOOK({0, 1, 2, 3, 4}))
    assert look_of(range(8), ()) == 1
    assert look_of(range(8), looks) == 3
    assert look_of([0, 5, 6, 7], looks) == 1  # one pair tested nothing
    assert look_of([0, 1, 2, 5], looks) == 2  # the second look had nothing new


@pytest.mark.parametrize("most", [False, True], ids=["the least advice", "the most"])
def test_following_the_advice_three_times_costs_no_error(notes: ModuleType, most: bool) -> None:
    """Four activations that equal the reference, judged three times, as reports advised; without counting it costs."""
    draw, families = random.Random(1), 250

    def said(rule: object) -> float:
        seeds = (notes.Seeds((0.0,) * 4, 0.03, draw) for _ in range(families))
        return statistics.fmean(notes.rounds(rule, s, 5, most)[-1] for s in seeds)

    assert said(notes.now) <= ALPHA < 1.5 * ALPHA < said(notes.before)


def test_what_is_a_margin_away_is_called_the_same_as_rarely_as_promised(notes: ModuleType) -> None:
    draw = random.Random(2)
    seeds = [notes.Seeds((notes.MARGIN,) * 4, notes.SD, draw) for _ in range(200)]
    assert statistics.fmean(notes.rounds(notes.now, s, 4, True)[-1] for s in seeds) <= ALPHA


def test_advice_that_is_followed_decides(notes: ModuleType) -> None:
    draw = random.Random(3)
    tries = [t for _ in range(80) if (t := notes.followed(notes.now, 0.004, 8, draw))]
    assert statistics.fmean(decided for _, decided in tries) >= POWER
