"""What some claims need of a suite: their activations and benchmarks, and no more than that."""

from __future__ import annotations

from typing import Any

import pytest
from builders import suite

from polybench.errors import NothingMeasured
from polybench.plan.jobs import plan
from polybench.plan.needed import needed
from polybench.plan.suite import Claim, Suite

STEP = {"name": "step", "kind": "speed", "matrix": {"level": "decoder", "tokens": 128, "seq_len": 64}}
BENCHMARKS = [
    {"name": "speed", "kind": "speed", "backends": ["eager", "compile"], "matrix": {"level": ["activation", "block"]}},
    STEP,
    {"name": "memory", "kind": "memory", "activations": ["swiglu", "polynorm"], "matrix": {"tokens": [64, 128]}},
    {"name": "pretrain", "kind": "pretrain", "matrix": {"corpus": "stdlib"}},
]


def of(*claims: dict[str, Any], budget_s: float | None = None, **changes: Any) -> Suite:
    whole = suite(**{"benchmarks": BENCHMARKS, "seeds": [0, 1, 2], "gate": [{"metric": "peak_bytes"}], **changes})
    found = needed(whole, [Claim.model_validate(c) for c in claims], budget_s)
    return Suite.model_validate(found.model_dump())


def claim(metric: str, subject: str = "polynorm", other: str = "swiglu", **more: Any) -> dict[str, Any]:
    return {"metric": metric, "subject": subject, "better_than": other, **more}


def test_only_what_a_claim_is_about_is_measured() -> None:
    one = of(claim("val_loss"))
    assert one.activations == ["swiglu", "polynorm"] and one.reference == "swiglu" and not one.gate
    assert [b.name for b in one.benchmarks] == ["pretrain"] and one.benchmarks[0].seeds == [0, 1, 2]
    assert one.suite == "toy-judge" and [c.subject for c in one.claims] == ["polynorm"]
    assert {t.cell.activation for t in plan(one, "cpu").trials} == {"swiglu", "polynorm"}
    assert needed(one, one.claims).suite == "toy-judge"


def test_a_benchmark_has_the_activations_of_its_own_claims() -> None:
    one = of(claim("val_loss"), claim("total_time", "relu", where={"benchmark": "speed"}))
    told = {b.name: one.activations_of(b) for b in one.benchmarks}
    assert told == {"speed": ["relu", "swiglu"], "pretrain": ["swiglu", "polynorm"]}


def test_a_pair_without_the_reference_has_one_of_its_own() -> None:
    one = of(claim("saved_bytes", "polynorm", "relu"), benchmarks=[{"name": "memory", "kind": "memory"}])
    assert (one.activations, one.reference) == (["relu", "polynorm"], "relu")


def test_a_new_activation_is_measured_where_the_others_are() -> None:
    one = of(claim("saved_bytes", "gelu"))
    assert one.activations == ["swiglu", "gelu"] and [b.activations for b in one.benchmarks] == [None]
    with pytest.raises(NothingMeasured, match="no benchmark of toy measures what is claimed"):
        of(claim("saved_bytes", "relu"))  # which this benchmark leaves out


def test_where_a_claim_does_not_look_nothing_is_measured() -> None:
    where = {"backend": "compile", "level": "block", "benchmark": "speed"}
    (one,) = of(claim("total_time", where=where)).benchmarks
    assert (one.backends, one.matrix) == (["compile"], {"level": ["block"]})
    both = of(
        claim("total_time", where=where), claim("total_time", where={"benchmark": "speed", "level": "activation"})
    )
    assert both.benchmarks[0].backends == ["eager", "compile"]
    assert both.benchmarks[0].matrix == {"level": ["activation", "block"]}


@pytest.mark.parametrize(("metric", "widths"), [("effective_speed_up", [32, 48, 64]), ("val_loss", [48])])
def test_what_is_read_off_all_sizes_has_them_whichever_is_asked_about(metric: str, widths: list[int]) -> None:
    matrix = {"corpus": "stdlib", "d_model": [32, 48, 64], "steps": [100, 200]}
    asked = claim(metric, where={"d_model": 48, "steps": 200})
    (one,) = of(asked, benchmarks=[{"name": "pretrain", "kind": "pretrain", "matrix": matrix}]).benchmarks
    assert one.matrix == {"corpus": "stdlib", "d_model": widths, "steps": [200]}


def test_what_follows_from_timed_steps_has_them_and_the_reference() -> None:
    one = of(claim("equal_time_loss", "polynorm", "relu"))
    assert [b.name for b in one.benchmarks] == ["step", "pretrain"]
    assert one.reference == "swiglu" and set(one.activations) == {"relu", "swiglu", "polynorm"}


@pytest.mark.parametrize(
    ("claims", "margin", "early"),
    [
        ([claim("total_time")], 0.03, True),
        ([claim("total_time", by=0.1)], 0.1, True),
        ([claim("total_time"), claim("total_time", by=0.01)], 0.01, False),
        ([claim("forward_time")], 0.03, False),
        ([claim("total_time"), claim("total_time", "polynorm", "relu")], 0.03, False),
        ([{"metric": "total_time", "order": ["relu", "swiglu", "polynorm"]}], 0.03, True),
    ],
)
def test_times_go_on_by_the_margin_of_the_claims(claims: list[dict[str, Any]], margin: float, early: bool) -> None:
    """What ends before its ratio lies at the margin does so beside the reference, by one margin and what decides."""
    for one in of(*claims, budget_s=60).benchmarks:
        assert (one.protocol["margin"], one.protocol["launches"]) == (margin, 1000)
        assert ("half_width" in one.protocol) != early
        assert one.protocol["budget_s"] == 20  # of two places in one benchmark and one in the other
    assert "launches" not in of(*claims).benchmarks[0].protocol
