"""The answer speaks of everybody that was compared, and calls equal what was shown to be."""

from __future__ import annotations

from dataclasses import replace

from builders import changed, exact, losses, run, section, suite, times

from polybench.compare.comparisons import Comparisons
from polybench.compare.transient import Transient
from polybench.kind import kind_of
from polybench.record import Status
from polybench.report import answer, transient

GOOD = {"swiglu": [3.0, 3.01, 2.99, 3.0, 3.02, 3.01], "relu": [3.2, 3.21, 3.19, 3.2, 3.22, 3.21]}


def test_who_diverged_with_every_seed_is_named() -> None:
    gone = losses({"polynorm": [0.0] * 6}, status=Status.DIVERGED)
    gone = [replace(r, measurements=(), error="the loss became nan") for r in gone]
    (found,) = section(answer, run([*losses(GOOD), *gone])).findings
    assert "ahead of the other of which no seed diverged" in found.text and "polynorm 6 of 6 diverged" in found.text
    (alone,) = section(answer, run([*losses({"swiglu": GOOD["swiglu"]}), *gone])).findings
    assert "polynorm 6 of 6 diverged" in alone.text and not alone.resolved


def test_cells_shown_to_be_the_same_are_not_called_unresolved() -> None:
    of = suite(activations=["relu", "swiglu"])
    even = [r for i in range(1, 7) for r in times({"swiglu": 1.0, "relu": 1.0}, launches=6, d_model=64 * i)]
    (found,) = section(answer, run(even, of)).findings
    assert found.text == "Of 6 cells of speed: within the margin in 6."


def test_what_is_worth_more_steps_than_there_were_is_said_without_a_number() -> None:
    for apart in (0.5, 20.0, 1414.0):
        told = transient._sentence("p", [Transient("p", 1200, 0.01, apart, 0.1, 4800, True)], 1)
        assert ("more than all of their 1,200 steps" in told) == (apart > 1)


def test_a_count_that_is_compared_by_difference_has_one() -> None:
    metric = replace(kind_of("memory").named["saved_bytes"], name="sparsity", unit="share", better="higher")
    for reference in (0.25, 0.0):
        one = run(exact({"relu": 0.5, "swiglu": reference}, "sparsity"))
        one = changed(one, metrics={"memory": [metric.to_json()]})
        found = Comparisons.of(one).to_reference("sparsity")
        assert [(c.change.value, c.outcome) for c in found.values() if c.change] == [(0.5 - reference, "better")]
