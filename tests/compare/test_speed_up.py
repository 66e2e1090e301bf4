"""The reference's law over sizes, and how many times as much it spends for another's loss: exact laws, then seeds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest
import studies
from builders import JOB, record, section
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.compare.claims import judgements
from polybench.compare.comparisons import Comparisons
from polybench.compare.law import Law, fits, with_irreducible
from polybench.compare.points import points
from polybench.compare.scaling import Ladder, beside, ladders
from polybench.compare.speed_up import (
    Reference,
    Spending,
    flops,
    in_proportion,
    log_speed_ups,
    over_sizes,
    reference,
    resampled,
    tokens,
    without_one,
)
from polybench.plan.check import load_suite
from polybench.plan.jobs import plan
from polybench.record import Measurement, Record, Status
from polybench.report import scaling, speed_up
from polybench.report.compose import compose
from polybench.report.formats import draw
from polybench.stats import paired
from polybench.trial import Cell, Trial

LAWS = settings(max_examples=15, deadline=None, derandomize=True, database=None)
SIZES = {57_632: 290, 104_000: 510, 213_000: 1040, 389_000: 1900}  # parameters, and steps of 2,048 tokens
TOKENS = [2048.0 * steps for steps in SIZES.values()]
FLOPS = [6.0 * n * d for n, d in zip(SIZES, TOKENS, strict=True)]
TRUE = Law(2.5, math.log(1.7) + 0.16 * math.log(FLOPS[0]), 0.16)

Losses = Mapping[str, Callable[[int, int], float]]  # of a size's place and a seed


@cache
def cell(name: str, place: int, steps: int) -> Cell:
    return studies.placed(
        record("pretrain", name), "size", steps=steps, d_model=16 * (place + 1), batch=16, seq_len=128
    ).trial.cell


def trained(losses: Losses, seeds: int = 4, sizes: Mapping[int, int] = SIZES) -> list[Record]:
    """Trainings of every size, whose tokens are in proportion to it."""
    found = []
    for i, (n, steps) in enumerate(sizes.items()):
        exact = Measurement("parameters", (n,)), Measurement("flops_per_token", (6.0 * n,))
        looks = Measurement("val_curve", (9.0, 9.0), (0, steps)), Measurement("train_time", (0.0, 1.0), (0, steps))
        for name, loss in losses.items():
            for seed in range(seeds):
                trial = Trial("size", cell(name, i, steps), seed, False)
                measured = (Measurement("val_loss", (loss(i, seed),)), *exact, *looks)
                found.append(Record(trial, Status.OK, measured, started_at=JOB, duration_s=1.0))
    return found


def compared(losses: Losses, seeds: int = 4, sizes: Mapping[int, int] = SIZES) -> Comparisons:
    return Comparisons.of(studies.study(trained(losses, seeds, sizes)))


def family(losses: Losses, seeds: int = 4, sizes: Mapping[int, int] = SIZES) -> tuple[Ladder, Ladder]:
    """The other activation's ladder, and the reference's."""
    ((_, steps),) = ladders(points(studies.study(trained(losses, seeds, sizes))), "swiglu").items()
    return next(x for x in steps if x.activation != "swiglu"), next(x for x in steps if x.activation == "swiglu")


def known(own: Ladder, spending: Spending = flops) -> Reference:
    found = reference(own, spending)
    assert found and not found.trouble
    return found


def read(losses: Losses, seeds: int = 4, spending: Spending = flops) -> list[float]:
    """The speed-up at each size, as a geometric mean over the seeds."""
    other, own = family(losses, seeds)
    laws = known(own, spending).by_seed
    return [math.exp(fmean(log_speed_ups(laws, pair, spending).values())) for pair in beside(other, own)]


def ahead(factor: float, law: Law = TRUE, spent: Sequence[float] = FLOPS, unit: float = 1.0) -> Losses:
    """The reference on a law, seed by seed a little higher or lower, and another that has `factor` times as much."""
    laws = {s: replace(law, log_scale=law.log_scale + 0.01 * s) for s in range(8)}
    return {
        "swiglu": lambda i, seed: unit * laws[seed].loss_at(spent[i]),
        "polynorm": lambda i, seed: unit * laws[seed].loss_at(factor * spent[i]),
    }


@LAWS
@given(st.floats(0.3, 3), st.floats(0.05, 0.4), st.sampled_from([0.0, 1.5, 3.0]))
def test_the_reference_with_k_times_the_tokens_has_a_speed_up_of_k(factor: float, a: float, floor: float) -> None:
    for spent, spending in ((FLOPS, flops), (TOKENS, tokens)):
        law = Law(floor, a * math.log(spent[0]), a)
        # A seed of its own would have a mean of laws that is none, unless there is nothing irreducible.
        losses, seeds = ahead(factor, law, spent), 1 if floor else 2
        assert read(losses, seeds, spending) == pytest.approx([factor] * 4, rel=1e-5)


@LAWS
@given(st.floats(0.5, 2), st.floats(0.1, 10))
def test_the_unit_of_the_losses_changes_nothing(factor: float, unit: float) -> None:
    assert read(ahead(factor, unit=unit)) == pytest.approx(read(ahead(factor)), rel=1e-6)


def test_equal_losses_are_a_speed_up_of_one_wherever_the_law_lies() -> None:
    def stray(i: int, seed: int) -> float:
        return TRUE.loss_at(FLOPS[i]) + 0.02 * math.sin(9 * i) + 0.001 * seed

    losses = {"swiglu": stray, "polynorm": stray}
    other, own = family(losses)
    assert known(own).fit.missed > 1e-3
    assert read(losses) == [1.0] * 4
    assert all(without_one(known(own), pair, flops) == [0.0] * 4 for pair in beside(other, own))


def test_three_sizes_have_no_irreducible_loss_and_of_four_it_is_found() -> None:
    losses = [TRUE.loss_at(c) for c in FLOPS]
    (plain,) = fits(FLOPS[:3], losses[:3], losses[2])
    assert plain.law.irreducible == 0
    found, plain = fits(FLOPS, losses, losses[3])
    assert found.law == pytest.approx(TRUE) or found.law.irreducible == pytest.approx(2.5, rel=1e-6)
    assert plain.law.irreducible == 0 and plain.missed > 1000 * found.missed
    assert with_irreducible(FLOPS, [9 * c**-0.1 for c in FLOPS], 0.1).irreducible == pytest.approx(0, abs=1e-6)


def noisy(draw: random.Random, factor: float = 1.25, own: float = 0.004) -> Losses:
    """What both share of a seed, and what each has alone."""
    shared = [[draw.gauss(0, 0.006) for _ in range(6)] for _ in FLOPS]
    alone = {name: [[draw.gauss(0, own) for _ in range(6)] for _ in FLOPS] for name in ("swiglu", "polynorm")}
    at = {"swiglu": FLOPS, "polynorm": [factor * c for c in FLOPS]}

    def of(name: str) -> Callable[[int, int], float]:
        return lambda i, seed: TRUE.loss_at(at[name][i]) + shared[i][seed] + alone[name][i][seed]

    return {name: of(name) for name in at}


def test_the_interval_holds_the_true_speed_up_about_as_often_as_it_says() -> None:
    draw, hits, asked = random.Random(1), 0, 0
    for _ in range(24):
        other, own = family(noisy(draw), 6)
        by_size = [log_speed_ups(known(own).by_seed, pair, flops) for pair in beside(other, own)]
        for logs in (*by_size, over_sizes(by_size)):
            told = paired([*logs.values()])
            hits, asked = hits + (told.low <= math.log(1.25) <= told.high), asked + 1
    assert 0.88 < hits / asked <= 0.99


def test_resampled_seeds_agree_with_the_t_interval_and_with_themselves() -> None:
    other, own = family(noisy(random.Random(2)), 6)
    pairs, law = beside(other, own), known(own)
    drawn = resampled(law, pairs, flops)
    assert drawn == resampled(law, pairs, flops)
    by_size = [log_speed_ups(law.by_seed, pair, flops) for pair in pairs]
    for logs, check in zip((*by_size, over_sizes(by_size)), drawn, strict=True):
        told = paired([*logs.values()])
        assert told.low < check.value < told.high and 0.4 < check.half_width / told.half_width < 1.2


def test_the_metric_is_what_the_table_tells_and_a_claim_can_name_it() -> None:
    changes = {"claims": [{"metric": "effective_speed_up", "subject": "polynorm", "more_than": "swiglu"}]}
    one = Comparisons.of(studies.study(trained(noisy(random.Random(3)), 6), **changes))
    table = next(t for t in speed_up.section(one).tables if t.title == "Effective speed-up")
    told = [c.change for c in one.to_reference("effective_speed_up").values() if c.activation == "polynorm"]
    rows = [row[3] for row in table.rows]
    assert [c.value for c in told if c] == pytest.approx([e.value for e in rows[:-1]])
    assert [c.low for c in told if c] == pytest.approx([e.low for e in rows[:-1]])
    assert [e.outcome for e in rows] == ["better"] * 5
    assert [("extrapolated" in e.text) for e in rows] == [False, False, False, True, False]
    (judged,) = judgements(one)
    assert judged.ruling == "supported" and len(judged.cases) == 4
    (finding,) = speed_up.section(one).findings
    assert finding.resolved and finding.text.endswith("polynorm is better at 4 of 4 sizes")


def test_a_loss_below_the_irreducible_one_is_never_reached_and_the_report_says_so() -> None:
    losses = {**ahead(1.0), "polynorm": lambda i, seed: 2.0}
    one = compared(losses)
    (row, *_) = next(t for t in speed_up.section(one).tables if t.title == "Effective speed-up").rows
    assert (row[3].text, row[3].outcome) == ("reached by 0 of 4", "not resolved")
    assert not speed_up.section(one).findings[0].resolved
    assert {c.outcome for c in one.to_reference("effective_speed_up").values() if c.change} == set()


def test_a_difference_below_what_the_law_misses_is_not_resolved_though_its_sign_is() -> None:
    off = [0.03, -0.03, 0.03, -0.03]

    def stray(i: int, seed: int) -> float:
        return TRUE.loss_at(FLOPS[i]) + off[i] + 0.001 * seed

    one = compared({"swiglu": stray, "polynorm": lambda i, seed: stray(i, seed) - 0.01 - 0.0003 * (seed % 3)})
    law, table = speed_up.section(one).tables
    assert law.rows[0][3].value and law.rows[0][3].value > 0.02
    assert {row[3].outcome for row in table.rows} == {"not resolved"}
    assert all(row[4].value is not None and row[4].value < 0.05 for row in table.rows)
    assert speed_up.section(one).findings[0].text.endswith("polynorm is better at 4 of 4 sizes")


def test_a_loss_that_does_not_fall_with_what_is_spent_is_no_law() -> None:
    one = compared({"swiglu": lambda i, seed: 3 + 0.01 * (i % 2), "polynorm": lambda i, seed: 2.9})
    (law,) = speed_up.section(one).tables
    assert "does not fall with FLOPs" in law.notes[0] and {row[4].text for row in law.rows} == {"–"}
    assert not speed_up.section(one).findings
    assert all(not p.values("effective_speed_up") for p in one.points())
    assert section(scaling, one.stored).figures[0].x_label == "Trained parameters"


def test_a_reference_that_lost_a_seed_or_spent_the_same_everywhere_has_no_law() -> None:
    records = trained(ahead(1.2))
    i = next(i for i, r in enumerate(records) if r.trial.cell.activation == "swiglu")
    lost = [replace(r, status=Status.DIVERGED) if n == i else r for n, r in enumerate(records)]
    for some, why in ((lost, "1 of 4 diverged at one of them"), (studies.sized(), "two of them spent the same")):
        one = Comparisons.of(studies.study(some))
        (steps,) = ladders(one.points(), "swiglu").values()
        assert reference(next(x for x in steps if x.activation == "swiglu"), flops) is None
        assert speed_up.section(one).tables == () and why in speed_up.section(one).notes[0]


def at_second_size(record: Record) -> bool:
    """Of the other activation."""
    return record.trial.cell.activation == "polynorm" and record.trial.cell.axis("d_model") == 32


def test_a_size_that_an_activation_does_not_have_is_missed_by_its_mean_and_by_the_answer() -> None:
    records = trained(noisy(random.Random(3)), 6)
    lost = [replace(r, status=Status.DIVERGED, measurements=()) if at_second_size(r) else r for r in records]
    standing = [replace(r, measurements=tuple(m if m.metric != "val_curve" else replace(m, steps=(0, 0))
                for m in r.measurements)) if at_second_size(r) else r for r in records]  # fmt: skip
    for some in (lost, standing):
        one = Comparisons.of(studies.study(some))
        told = speed_up.section(one)
        rows = next(t for t in told.tables if t.title == "Effective speed-up").rows
        assert [row[3].outcome for row in rows] == ["better"] * 3 + ["1 of 4 sizes missing"] and rows[-1][4].text == "–"
        (finding,) = told.findings
        assert not finding.resolved and finding.text.endswith("better at 3, missing at 1 of 4 sizes")


def test_without_any_training_whose_flops_are_known_there_is_no_empty_table() -> None:
    records = [replace(r, measurements=tuple(m for m in r.measurements if m.metric != "flops_per_token"))
               if r.trial.cell.activation == "polynorm" else r for r in trained(ahead(1.2))]  # fmt: skip
    told = speed_up.section(Comparisons.of(studies.study(records)))
    assert [t.title for t in told.tables] == ["The law of swiglu over its sizes"] and not told.findings


def test_tokens_that_do_not_grow_with_the_model_have_no_law_of_their_own() -> None:
    alike = {n: 290 + i for i, n in enumerate(SIZES)}
    assert in_proportion(family(ahead(1.2))[1])
    assert not in_proportion(family(ahead(1.2), sizes=alike)[1])
    law, table = speed_up.section(compared(ahead(1.2), sizes=alike)).tables
    assert {row[0].text for row in law.rows} == {"FLOPs"} and {row[7].text for row in table.rows} == {"–"}


def test_a_ladder_is_drawn_against_flops_with_the_law_and_is_all_in_the_report() -> None:
    one = compared(ahead(1.2)).stored
    (figure,) = section(scaling, one).figures
    assert figure.x_label == "Training FLOPs"
    assert [s.label for s in figure.series if s.fitted] == ["law of swiglu"]
    drawn = draw.svg(figure)
    assert all(f">{tick}<" in drawn for tick in ("210G", "650G", "2.7T", "9.1T")) and drawn.count("T<") == 2
    assert next(s for s in figure.series if s.label == "swiglu").x == pytest.approx(FLOPS)
    document = compose(one)
    keys = [t.key for t in document.tables]
    assert len(keys) == len(set(keys)) and {"table-law-size", "table-speed-up-size"} < set(keys)
    assert not [n for n in document.notes if "could not be made" in n]
    assert not any("effective_speed_up" in c.name for t in document.tables if t.key == "size" for c in t.columns)


def test_the_suite_of_the_paper_makes_one_ladder_of_its_sizes() -> None:
    suite = load_suite(Path("suites/paper/size.yaml"), []).suite
    trials = [t for t in plan(suite, "cpu").trials if t.benchmark == "size"]
    records = []
    for trial in trials:
        axes = dict(trial.cell.axes)
        n = 12.0 * int(axes["layers"]) * int(axes["d_model"]) ** 2 + 1024 * int(axes["d_model"])
        loss = 20 * (n * int(axes["steps"])) ** -0.1 + 0.001 * trial.seed
        values = {"val_loss": [loss], "parameters": [n], "flops_per_token": [6 * n], "val_curve": [9.0, loss],
                  "train_time": [0.0, 1.0]}  # fmt: skip
        one = record("pretrain", trial.cell.activation, values, steps=[0, int(axes["steps"])])
        records.append(replace(one, trial=trial))
    one = Comparisons.of(studies.study(records))
    (steps,) = ladders(one.points(), "swiglu").values()
    assert [len(x.rungs) for x in steps] == [4, 4] and all(map(in_proportion, steps))
    assert len(speed_up.section(one).tables) == 2
