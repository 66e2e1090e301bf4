"""The least difference that a plan promises is found as often as it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import losses, run, suite

from polybench.compare.expected import expected, least_found
from polybench.looks import FIRST
from polybench.plan.jobs import plan
from polybench.record import Record
from polybench.run import store
from polybench.stats import ALPHA, t_quantile
from polybench.stopping import POWER

BASE = [3.0, 3.4, 3.2, 3.1]
SUITE = {"benchmarks": [{"name": "losses", "kind": "pretrain"}, {"name": "bytes", "kind": "memory"}]}


@pytest.mark.parametrize("questions", [1, 4])
@pytest.mark.parametrize("pairs", [2, 3, 8, 20])
def test_a_difference_of_that_size_is_found_as_often_as_promised(pairs: int, questions: int) -> None:
    draws = np.random.default_rng(pairs).normal(least_found(0.1, pairs, questions), 0.1, (40_000, pairs))
    t = draws.mean(1) / (draws.std(1, ddof=1) / np.sqrt(pairs))
    assert (t > t_quantile(pairs - 1, 1 - ALPHA * FIRST / questions)).mean() == pytest.approx(POWER, abs=0.01)


def kept(root: Path, name: str, records: list[Record]) -> None:
    one = run(records)
    store.create(root / name, {k: v for k, v in one.header.items() if k != "schema_version"})
    store.append(root / name, one.records)


@pytest.mark.parametrize("where", ["toy/latest", "published/toy"])
def test_a_plan_promises_by_the_spread_of_an_earlier_run_of_its_cells(where: str, tmp_path: Path) -> None:
    asked = suite(**SUITE, seeds=[0, 1, 2, 3, 4])
    trials = plan(asked, "cpu").trials
    assert not list(expected(trials, asked, tmp_path))
    off = {"relu": [0.1, 0.3, 0.2, 0.0], "polynorm": [0.1, -0.1, 0.1, -0.1]}
    of = {name: [b + d for b, d in zip(BASE, ds, strict=True)] for name, ds in off.items()}
    kept(tmp_path, where, losses({**of, "swiglu": BASE}))
    (one,) = expected(trials, asked, tmp_path)
    spread = np.sqrt(np.mean([np.var(ds, ddof=1) for ds in off.values()]))
    assert (one.benchmark, one.metric.name, one.seeds, one.rivals) == ("losses", "val_loss", 5, 2)
    assert one.difference == pytest.approx(least_found(float(spread), 5, 2), rel=1e-3)
    assert one.source == tmp_path / where


def test_other_cells_promise_nothing(tmp_path: Path) -> None:
    kept(tmp_path, "published/toy", losses({"relu": BASE, "swiglu": BASE[::-1]}, d_model=128))
    asked = suite(**SUITE, seeds=[0, 1, 2])
    assert not list(expected(plan(asked, "cpu").trials, asked, tmp_path))
