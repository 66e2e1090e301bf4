"""Claims in all of their forms: what supports them, what refutes them, and how often chance does either."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from builders import changed, exact, losses, record, run, suite, times

from polybench import stats
from polybench.compare.claims import Judgement, judgements, outcome
from polybench.compare.comparisons import Comparisons
from polybench.compare.onward import onward
from polybench.corrections import holm
from polybench.errors import NothingMeasured
from polybench.looks import FIRST, over_looks
from polybench.plan.suite import Suite
from polybench.record import Measurement, Record, Status
from polybench.run.store import Run
from polybench.stats import t_test, t_within

BASE = [3.0, 3.4, 3.2, 3.1, 3.3, 3.25]
WOBBLE = [0.003, -0.002, 0.001, -0.003, 0.002, -0.001]  # of paired differences: mean 0, so their mean is exact
FORMS = ("better_than", "worse_than", "same_as")


def judged(records: Sequence[Record], *claims: dict[str, Any], looks: Any = None) -> list[Judgement]:
    names = {"relu", "gelu", "swiglu", "polynorm"}
    one = run(records, suite(activations=sorted(names), claims=list(claims)))
    return judgements(Comparisons.of(changed(one, one.records, looks=looks or {})))


def shifted(by: float, noise: Sequence[float] = WOBBLE) -> list[float]:
    return [b + by + w for b, w in zip(BASE, noise, strict=True)]


def claim(form: str, metric: str = "val_loss", **more: Any) -> dict[str, Any]:
    return {"metric": metric, "subject": "relu", form: "swiglu", **more}


# How far relu's loss lies above swiglu's, and what then becomes of each form by 0.02 nats.
BY_LOSS = [
    (-0.05, ("supported", "refuted", "refuted")),
    (-0.0201, ("not resolved", "refuted", "not resolved")),
    (-0.01, ("refuted", "refuted", "supported")),
    (0.0, ("refuted", "refuted", "supported")),
    (0.01, ("refuted", "refuted", "supported")),
    (0.0201, ("refuted", "not resolved", "not resolved")),
    (0.05, ("refuted", "supported", "refuted")),
]


@pytest.mark.parametrize(("shift", "rulings"), BY_LOSS)
def test_losses_lie_in_the_region_of_a_claim_or_outside(shift: float, rulings: tuple[str, ...]) -> None:
    records = losses({"relu": shifted(shift), "swiglu": BASE})
    for form, ruling in zip(FORMS, rulings, strict=True):
        (found,) = judged(records, claim(form, by=0.02))
        (case,) = found.cases
        assert found.ruling == ruling, form
        differences = [shift + w for w in WOBBLE]
        estimate = stats.paired(differences)
        assert (
            case.change and case.change.value == pytest.approx(shift) and case.change.low == pytest.approx(estimate.low)
        )
        edge = 0.02 if form == "worse_than" or (form == "same_as" and shift > 0) else -0.02
        told = t_test([d - edge for d in differences])
        if form == "same_as" and abs(shift) <= 0.02:
            told = t_within(differences, 0.02)
        assert case.p == pytest.approx(min(1.0, told / FIRST), rel=1e-6)
        assert bool(case.more) == (found.ruling == "not resolved")


def test_without_a_margin_a_better_loss_is_any_that_is_told_from_zero() -> None:
    small = losses({"relu": shifted(-0.005), "swiglu": BASE})
    assert [f.ruling for f in judged(small, claim("better_than"))] == ["supported"]
    assert [f.ruling for f in judged(small, claim("worse_than"))] == ["refuted"]
    assert [f.ruling for f in judged(small, claim("same_as"))] == ["supported"]  # within the suite's 0.01 nat
    assert [f.ruling for f in judged(losses({"relu": BASE, "swiglu": BASE}), claim("better_than"))] == ["refuted"]


def test_more_and_less_compare_numbers_whichever_is_better() -> None:
    small = losses({"relu": shifted(-0.005), "swiglu": BASE})
    for form, ruling in (("less_than", "supported"), ("more_than", "refuted")):
        assert [f.ruling for f in judged(small, claim(form))] == [ruling]
    rate = times({"relu": 0.9, "swiglu": 1.0}, launches=6, metric="step_throughput", level="decoder")
    assert judged(rate, claim("less_than", "step_throughput", by="5%"))[0].ruling == "supported"


def test_where_no_direction_is_good_more_is_more_by_however_little() -> None:
    ranks = losses({"relu": [0.909, 0.910, 0.911, 0.910], "swiglu": [0.9, 0.9, 0.9, 0.9]}, "effective_rank")
    rulings = [judged(ranks, claim(form, "effective_rank"))[0].ruling for form in ("more_than", "less_than", "same_as")]
    assert rulings == ["supported", "refuted", "supported"]
    assert judged(ranks, claim("more_than", "effective_rank", by="2%"))[0].ruling == "refuted"


@pytest.mark.parametrize(
    ("factor", "rulings"),
    [(0.9, ("supported", "refuted", "refuted")), (0.999, ("refuted", "refuted", "supported")),
     (1.1, ("refuted", "supported", "refuted"))],
)  # fmt: skip
def test_times_are_held_against_a_share(factor: float, rulings: tuple[str, ...]) -> None:
    records = times({"relu": factor, "swiglu": 1.0}, launches=6)
    for form, ruling in zip(FORMS, rulings, strict=True):
        (found,) = judged(records, claim(form, "total_time", by="5%"))
        assert found.ruling == ruling
        assert found.cases[0].change and found.cases[0].change.value == pytest.approx(factor, rel=1e-3)
    rate = times({"relu": factor, "swiglu": 1.0}, launches=6, metric="step_throughput", level="decoder")
    for form, ruling in zip(("worse_than", "better_than", "same_as"), rulings, strict=True):  # of a rate more is better
        assert judged(rate, claim(form, "step_throughput", by="5%"))[0].ruling == ruling


def test_what_equal_code_showed_is_no_support() -> None:
    """A second copy two per cent off raises the margin of three to four, and one six per cent off leaves no verdict."""
    for copy, rulings in ((1.0, "supported"), (1.02, "not resolved"), (1.06, "not resolved")):
        (found,) = judged(
            times({"relu": 0.965, "swiglu": 1.0}, copy=copy, launches=6), claim("better_than", "total_time")
        )
        assert found.ruling == rulings
    assert found.cases[0].note.startswith("the second copy") and found.cases[0].more is None
    single = judged(times({"relu": 0.5, "swiglu": 1.0}, launches=1), claim("better_than", "total_time"))
    assert single[0].ruling == "not resolved" and single[0].cases[0].more


@pytest.mark.parametrize(
    ("bytes_", "by", "rulings"),
    [
        (100, None, ("refuted", "refuted", "supported")),
        (99, None, ("supported", "refuted", "refuted")),
        (101, None, ("refuted", "supported", "refuted")),
        (105, 0.05, ("refuted", "supported", "supported")),
        (104, 0.05, ("refuted", "refuted", "supported")),
        (0, 0.05, ("supported", "refuted", "refuted")),
    ],
)
def test_counts_are_exact(bytes_: int, by: float | None, rulings: tuple[str, ...]) -> None:
    records = exact({"relu": bytes_, "swiglu": 100})
    for form, ruling in zip(FORMS, rulings, strict=True):
        (found,) = judged(records, claim(form, "saved_bytes", **({} if by is None else {"by": by})))
        assert (found.ruling, found.cases[0].p, found.cases[0].more) == (ruling, None, None)


def test_an_order_holds_if_every_pair_of_neighbours_does() -> None:
    records = losses({"relu": shifted(-0.05), "gelu": shifted(-0.02, [-w for w in WOBBLE]), "swiglu": BASE})
    whole, wrong = {"metric": "val_loss", "order": ["relu", "gelu", "swiglu"]}, ["relu", "swiglu", "gelu"]
    (found,) = judged(records, whole)
    assert found.ruling == "supported" and found.text == "val_loss: relu < gelu < swiglu"
    assert {(c.point.cell.activation, c.other.cell.activation) for c in found.cases} == {
        ("relu", "gelu"), ("gelu", "swiglu")
    }  # fmt: skip
    assert judged(records, {**whole, "order": wrong})[0].ruling == "refuted"
    assert judged(records, {**whole, "by": 0.03})[0].ruling in ("refuted", "not resolved")


def test_all_claims_are_one_family_and_an_order_counts_its_pairs() -> None:
    noise = [0.03, -0.01, 0.02, -0.02, 0.01, 0.03]
    values = {"relu": shifted(-0.03, noise), "gelu": shifted(-0.05, noise[::-1]), "swiglu": BASE}
    two, order = claim("better_than"), {"metric": "val_loss", "order": ["gelu", "swiglu"]}
    found = judged(losses(values), two, order, two)
    alone = [t_test([a - b for a, b in zip(values[name], BASE, strict=True)]) / FIRST for name in ("relu", "gelu")]
    told = holm(alone)  # what is asked twice is asked once
    assert [f.cases[0].p for f in found] == pytest.approx([told[0], told[1], told[0]])


def test_every_look_at_the_seeds_is_counted() -> None:
    values = losses({"relu": shifted(-0.004), "swiglu": BASE})
    differences = [-0.004 + w for w in WOBBLE]
    (found,) = judged(values, claim("better_than"), looks={"pretrain": [[0, 1, 2]]})
    assert found.cases[0].p == pytest.approx(over_looks(t_test(differences), 2), rel=1e-6)


def test_what_would_settle_a_claim_does_so_in_eight_of_ten() -> None:
    """So many more seeds of the same spread, asked through the judge itself."""
    (found,) = judged(losses({"relu": shifted(-0.004, [5 * w for w in WOBBLE]), "swiglu": BASE}), claim("better_than"))
    more = found.cases[0].more
    assert found.ruling == "not resolved" and more and more.seeds
    rng, hits, repeats = random.Random(4), 0, 60
    sd = math.sqrt(sum((5 * w) ** 2 for w in WOBBLE) / (len(WOBBLE) - 1))
    total = len(BASE) + more.seeds
    for _ in range(repeats):
        looks = {"pretrain": [list(range(len(BASE)))]}
        (found,) = judged(pairs([rng.gauss(-0.004, sd) for _ in range(total)]), claim("better_than"), looks=looks)
        hits += found.ruling == "supported"
    assert 0.7 < hits / repeats < 0.95


def test_diverged_seeds_and_failed_trials_support_nothing() -> None:
    records = losses({"relu": shifted(-0.5), "swiglu": BASE})
    for status, code in ((Status.DIVERGED, 4), (Status.FAILED, 3)):
        lost = record("pretrain", "relu", seed=6, status=status, error="planted")
        found = judged([*records, lost], claim("better_than"))
        assert found[0].ruling == "not resolved" and "planted" in found[0].cases[0].note
        assert outcome(found)[0] == code
    assert found[0].cases[0].broken


def test_a_refuted_cell_decides_beside_one_that_diverged() -> None:
    """And gives the numbers: those of the other were not judged."""
    records = losses({"relu": shifted(0.05), "swiglu": BASE}, layers=1)
    records += losses({"relu": shifted(-0.5), "swiglu": BASE}, layers=2)
    lost = record("pretrain", "relu", seed=len(BASE), status=Status.DIVERGED, layers=2)
    (found,) = judged([*records, lost], claim("better_than"))
    assert found.ruling == found.cases[0].ruling == "refuted" and found.cases[1].diverged


def test_the_code_follows_from_the_worst() -> None:
    records = losses({"relu": shifted(-0.05), "gelu": shifted(0.05), "swiglu": BASE, "polynorm": shifted(0.0)})
    good = {"metric": "val_loss", "subject": "relu", "better_than": "swiglu"}
    bad, open_ = {**good, "subject": "gelu"}, {**good, "subject": "polynorm"}
    assert outcome(judged(records, good))[0] == 0
    assert outcome(judged(records, good, open_))[0] == 4
    assert outcome(judged(records, good, open_, bad))[0] == 1
    with pytest.raises(NothingMeasured, match="nothing to judge"):
        outcome(judged(records, {**good, "metric": "saved_bytes"}))


@cache
def blank(activation: str, seed: int) -> Record:
    """Made once, since to name a trial takes longer than to judge it."""
    return record("pretrain", activation, {"val_loss": [0.0]}, seed=seed)


def pairs(differences: Sequence[float]) -> list[Record]:
    """relu beside swiglu, a seed each."""
    return [
        replace(blank(name, seed), measurements=(Measurement("val_loss", (3.0 + apart,)),))
        for seed, difference in enumerate(differences)
        for name, apart in (("relu", difference), ("swiglu", 0.0))
    ]


def until_decided(one: Run, rng: random.Random) -> str:
    """What the judge says in the end of two equal activations, when it goes on as it advises to a hundred seeds."""
    of = one.suite
    looks: list[list[int]] = []
    differences: list[float] = []
    while True:
        differences += [rng.gauss(0, 0.01) for _ in of.seeds[len(differences) :]]
        records = pairs(differences)
        found = judgements(Comparisons.of(changed(one, records, looks={"pretrain": looks})))
        step = onward(found, of, records, left_s=100.0 - len(of.seeds), slots=2)
        if isinstance(step, str):
            return found[0].ruling
        looks, of = [*looks, of.seeds], step


def test_the_error_is_held_however_often_it_is_looked() -> None:
    """Equal activations are told apart in at most 5 % of judgements that go on as advised (here of 100)."""
    rng = random.Random(13)
    of = suite(
        activations=["relu", "swiglu"], seeds=[0, 1, 2, 3], claims=[{"metric": "val_loss", "subject": "relu"}],
        benchmarks=[{"name": "pretrain", "kind": "pretrain"}],
    )  # fmt: skip
    wrong = sum(until_decided(run([], of), rng) != "not resolved" for _ in range(100))
    assert wrong <= 5 + 2 * 2  # and two standard errors


def test_more_seeds_are_those_that_are_advised_and_affordable() -> None:
    of = suite(seeds=[0, 1, 2, 3, 4, 5], claims=[claim("better_than")], benchmarks=[
        {"name": "pretrain", "kind": "pretrain", "tune": {"lr": [0.1, 0.2], "seeds": [6]}, "matrix": {"lr": "tuned"}},
    ])  # fmt: skip
    records = losses({"relu": shifted(-0.004, [5 * w for w in WOBBLE]), "swiglu": BASE})
    found = judgements(Comparisons.of(run(records, of)))
    advised = found[0].cases[0].more
    assert advised and advised.seeds and advised.seeds > 2
    few = onward(found, of, records, left_s=2.5, slots=2)  # two trainings of a second a seed
    assert isinstance(few, Suite) and few.seeds == [0, 1, 2, 3, 4, 5, 7, 8]
    whole = onward(found, of, records, left_s=1e6, slots=2)
    assert isinstance(whole, Suite) and len(whole.seeds) == 6 + min(advised.seeds, 18)
    assert (
        onward(found, of, records, left_s=0.5, slots=2) == "the budget is spent, and another seed would take about 1 s"
    )
    sure = judgements(Comparisons.of(run(losses({"relu": shifted(-0.1), "swiglu": BASE}), of)))
    assert onward(sure, of, records, left_s=1e6, slots=2) == "every claim is answered"
