"""A trial is called by what differs among its like, and the name that was read is a name that selects."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import changed, exact, run, suite

from polybench.kind import kind_of
from polybench.plan.check import load_suite
from polybench.plan.jobs import plan
from polybench.plan.labels import Labels
from polybench.plan.suite import Suite
from polybench.plan.tuning import TUNING
from polybench.run.merge import missing
from polybench.trial import Trial

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "suites").rglob("*.yaml"))
BENCHMARKS = [
    {"name": "mem", "kind": "memory", "backends": ["eager", "checkpoint"], "matrix": {"tokens": [64, 128]}},
    {"name": "sp", "kind": "speed", "protocol": {"launches": 11, "pilot": 11}},
    {"name": "pre", "kind": "pretrain", "matrix": {"steps": 2}},
]  # fmt: skip
SUITES = {p.stem: load_suite(p).suite for p in SHIPPED} | {"toy": suite(benchmarks=BENCHMARKS)}


@pytest.mark.parametrize("of", SUITES.values(), ids=SUITES)
def test_labels_are_unique_and_a_filter_with_one_selects_its_trial(of: Suite) -> None:
    device = "cpu" if of.device == "auto" else of.device
    whole = plan(of, device)
    labels = [whole.labels.of_trial(t) for t in whole.trials]
    assert len(set(labels)) == len(labels)
    for trial, label in list(zip(whole.trials, labels, strict=True))[:: max(1, len(labels) // 12)]:
        assert len(label) <= len(trial.label)
        for pattern in (label, trial.label):
            kept = plan(of, device, pattern)
            assert kept.labels == whole.labels
            beside = {trial.id}
            for control in (False, kind_of(trial.cell.kind).interleaved):
                beside.add(Trial(trial.benchmark, trial.cell.of(of.reference), trial.seed, control).id)
            tuned = any(b.tune and b.name == trial.benchmark for b in of.benchmarks)
            assert {t.id for t in kept.trials if not (tuned and t.benchmark.endswith(TUNING))} == beside


def test_a_label_holds_what_differs_within_the_benchmark_and_nothing_else() -> None:
    whole = plan(SUITES["toy"], "cpu")
    labels = [whole.labels.of_trial(t) for t in whole.trials]
    for label in (
        "mem/relu/checkpoint/tokens=64",
        "sp/swiglu/seed=10",
        "sp/swiglu (A/A)/seed=10",
        "pre/polynorm/seed=2",
    ):
        assert label in labels
    jobs = {whole.labels.of_job(j) for j in whole.jobs}
    assert {"sp/3 activations/seed=10", "pre/polynorm/seed=2", "mem/relu/checkpoint/tokens=64"} <= jobs
    stranger = next(t for t in whole.trials if t.benchmark == "pre")
    assert Labels().of_trial(stranger) == stranger.label


def test_a_part_calls_its_trials_as_the_whole_does() -> None:
    whole = plan(SUITES["toy"], "cpu")
    part = whole.only(lambda job: job.trials[0].seed == 0)
    for trial in part.trials:
        assert part.labels.of_trial(trial) == whole.labels.of_trial(trial)


def test_a_header_of_the_version_before_still_says_what_is_missing() -> None:
    relu, swiglu, polynorm = exact({"relu": 1, "swiglu": 2, "polynorm": 3})
    old = changed(run([relu, swiglu]), missing=[swiglu.trial.label, polynorm.trial.label])
    assert missing(old) == [polynorm.trial.label]
