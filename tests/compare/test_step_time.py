"""Steps timed in turns stand for the times of the trainings that took them, in the overview and at equal time."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from builders import across, record, run, section, suite, times
from commands import ROOT

from polybench.compare.comparisons import Comparisons
from polybench.compare.derive import seconds_at_looks, with_derived
from polybench.compare.step_time import OWN_CLOCK
from polybench.record import Measurement, Record, Status
from polybench.report import answer, figures, losses, overview
from polybench.run.store import Run

TRAINED = {"layers": 3, "d_model": 32, "heads": 2, "seq_len": 8, "batch": 4}
TIMED = {"level": "decoder", "layers": 3, "d_model": 32, "heads": 2, "seq_len": 8, "tokens": 32}
STEP_S = {"relu": 0.5, "swiglu": 1.0, "polynorm": 1.25}  # over a thousandth of a second
LOSSES = {"relu": [3.0, 2.9, 2.8], "swiglu": [3.0, 2.8, 2.6], "polynorm": [3.0, 2.7, 2.4]}
LOOKS = [0, 100, 200]
FLOPS = 1e6  # a token


def trainings(flops: float | None = FLOPS, **axes: Any) -> list[Record]:
    """Whose own times call all activations equal, give or take what else ran."""
    found = []
    for name, curve in LOSSES.items():
        for seed in range(3):
            values = {
                "val_loss": curve[-1:], "val_curve": curve, "train_time": [0.0, 1.0 + seed, 2.0 + seed],
                "tokens_per_s": [1000.0 + 300 * seed], **({"flops_per_token": [flops]} if flops else {}),
            }  # fmt: skip
            found.append(record("pretrain", name, values, seed=seed, steps=LOOKS, **{**TRAINED, **axes}))
    return found


def steps(flops: float | None = FLOPS, of: dict[str, float] = STEP_S, **axes: Any) -> list[Record]:
    records = times(of, metric="step_time", drift=0.5, jitter=0.002, **{**TIMED, **axes})
    told = (Measurement("flops", (flops * int({**TIMED, **axes}["tokens"]),)),) if flops else ()
    return [replace(r, measurements=(*r.measurements, *told)) for r in records]


def texts(one: Run) -> dict[str, str]:
    """What each table and finding says of time."""
    (table,) = section(overview, one).tables
    (column,) = [i for i, c in enumerate(table.columns) if c.name == "training tokens/s"]
    return {
        "caption": table.caption,
        "relu": str(table.rows[0][column]),
        "answer": "; ".join(f"{f.question}: {f.text}" for f in section(answer, one).findings),
        "equal time": next(t.caption for t in section(losses, one).tables if "equal-time" in t.key),
    }


def fits(trained: list[Record], timed: list[Record], **changes: Any) -> bool:
    one = with_derived(run([*timed, *trained], suite(**changes)))
    return any(r.get("stepped_time") for r in one.records)


def clock(trained: list[Record], timed: list[Record]) -> str:
    """What is said of the time at which losses are compared."""
    metrics = Comparisons.of(run([*timed, *trained])).metrics().values()
    return next(m.definition for m in metrics if m.name == "equal_time_loss")


def test_a_step_of_no_time_gives_no_rate_and_harms_nobody() -> None:
    def stopped(record: Record) -> Record:
        return replace(record, measurements=tuple(
            replace(m, values=(0.0,) * len(m.values)) if m.metric == "step_time" else m for m in record.measurements
        ))  # fmt: skip

    first, every = ([stopped(r) if r.trial.seed in of else r for r in steps()] for of in ({0}, {0, 1, 2}))
    derived = with_derived(run([*first, *trainings()]))
    rated = {r.trial.seed for r in derived.records if r.get("step_throughput")}
    assert rated == {1, 2} and any(r.get("stepped_time") for r in derived.records)
    assert not fits(trainings(), every)
    assert section(overview, run([*every, *trainings()])).tables == section(overview, run(trainings())).tables


def test_where_a_decoder_fits_its_steps_are_the_time_of_the_trainings() -> None:
    one = run([*steps(), *trainings()])
    derived = with_derived(one)
    of = {r.trial.cell.activation: r for r in derived.records if r.trial.cell.kind == "pretrain" and not r.trial.seed}
    ends = {name: seconds_at_looks(r)[-1] for name, r in of.items()}
    assert ends["relu"] / ends["swiglu"] == pytest.approx(0.5, rel=5e-3)
    assert ends["polynorm"] / ends["swiglu"] == pytest.approx(1.25, rel=5e-3)
    # relu ends after half of the time, and swiglu comes down to its 2.6 after 4/3 of half of polynorm's steps.
    equal = {name: r.get("equal_time_loss").values[0] for name, r in of.items()}  # type: ignore[union-attr]
    assert equal == {"relu": 2.8, "swiglu": pytest.approx(2.8, abs=5e-3), "polynorm": pytest.approx(2.76, abs=5e-3)}
    to = {name: r.get("time_to_reference").values[0] for name, r in of.items()}  # type: ignore[union-attr]
    assert to["polynorm"] / to["swiglu"] == pytest.approx(1.25 * (100 + 100 / 3) / 200, rel=5e-3)
    told = texts(one)
    assert "training tokens/s: step_throughput of speed, steps taken in turns" in told["caption"]
    assert "tokens_per_s" not in told["caption"]
    assert "Time is counted by the step_time of speed, taken as exact." in told["equal time"]
    assert "In whole training steps: relu has the most tokens a second" in told["answer"]
    assert "In training speed" not in told["answer"]


def test_else_it_is_their_own_and_the_text_says_that_they_shared_the_machine() -> None:
    other = run([*steps(d_model=64), *trainings()])
    for one, why in ((run(trainings()), ""), (other, ", since the steps of speed differ in d_model")):
        told = texts(one)
        assert f"training tokens/s: tokens_per_s of pretrain, timed {OWN_CLOCK}" in told["caption"]
        assert "step_throughput" not in told["caption"]
        assert f"Time is counted {OWN_CLOCK}{why}." in told["equal time"]
        assert "In training speed" in told["answer"]
        assert not any(r.get("stepped_time") for r in with_derived(one).records)


def test_the_picture_of_loss_against_time_is_drawn_by_the_same_steps() -> None:
    (front,) = [f for f in section(figures, run([*steps(), *trainings()])).figures if f.key.startswith("front-time")]
    across_of = {s.label: s.x[0] for s in front.series}
    assert across_of["relu"] / across_of["swiglu"] == pytest.approx(STEP_S["relu"], rel=5e-3)
    assert "Time is the step_time of speed, whose whiskers are of the ratio to swiglu's" in front.caption
    (own,) = [f for f in section(figures, run(trainings())).figures if f.key.startswith("front-time")]
    assert {s.x[0] for s in own.series} == {own.series[0].x[0]}
    assert "step_time" not in own.caption


def test_the_interval_of_a_throughput_is_that_of_the_steps() -> None:
    """Blocks and launches of them, not seeds: the inverse of the ratio of step times, to the last digit."""
    one = run([*steps(), *trainings()])
    rate, time = (
        {c.cell.activation: c for c in across(one, only=name) if c.change} for name in ("step_throughput", "step_time")
    )
    assert set(rate) == set(time) == {"relu", "polynorm"}
    for name, c in rate.items():
        assert c.change and time[name].change
        assert c.change.low == pytest.approx(1 / time[name].change.high)
        assert c.change.high == pytest.approx(1 / time[name].change.low)
        assert c.change.half_width < 0.02  # though the machine drifted by half
    assert (rate["relu"].outcome, rate["polynorm"].outcome) == ("better", "worse")
    assert rate["relu"].value == pytest.approx(32 / time["relu"].value)  # type: ignore[operator]


def test_steps_without_a_training_have_the_column_alone() -> None:
    told = section(overview, run([*steps(), *times({"relu": 1.0, "swiglu": 1.0}, level="block")]))
    assert [c.name for c in told.tables[0].columns] == ["activation", "time of a block", "training tokens/s"]
    decoder = [*times({"relu": 1.0, "swiglu": 1.0}, **TIMED), *trainings()]  # whose passes are no block's
    assert "time of a block" not in [c.name for c in section(overview, run(decoder)).tables[0].columns]


@pytest.mark.parametrize(
    "other",
    [{"layers": 2}, {"d_model": 64}, {"heads": 1}, {"seq_len": 4}, {"tokens": 64}, {"ffn_width": 96}, {"tied": False},
     {"qk_norm": True}, {"compile": True}, {"backend": "compile"}, {"threads": 2}, {"dtype": "float64"}],
    ids=str,
)  # fmt: skip
def test_whatever_else_was_timed_does_not_fit(other: dict[str, Any]) -> None:
    assert fits(trainings(), steps())
    assert not fits(trainings(), steps(**other))
    assert f"differ in {', '.join(other)}." in clock(trainings(), steps(**other))
    same = {"batch" if k == "tokens" else k: v // 8 if k == "tokens" else v for k, v in other.items() if k != "threads"}
    if same and "seq_len" not in same:
        assert fits(trainings(**same), steps(**other))


def test_the_example_of_the_page_fits() -> None:
    page = (ROOT / "docs" / "pretraining.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n([^`]*level: decoder[^`]*)^```", page, re.M)
    timed, trained = (benchmark["matrix"] for benchmark in yaml.safe_load(block)["benchmarks"])
    assert fits(trainings(**trained), steps(**timed))
    assert trained["tokenizer"] == f"bpe-{timed['vocabulary']}"


@pytest.mark.parametrize("axes", [{"accumulate": 2}, {"recompute": True}, {"experts": 4}], ids=str)
def test_steps_of_several_passes_have_no_decoder(axes: dict[str, Any]) -> None:
    assert not fits(trainings(**axes), steps())
    assert f"differ in {', '.join(axes)}." in clock(trainings(**axes), steps())


def test_vocabularies_are_told_apart_by_what_a_token_costs() -> None:
    assert not fits(trainings(), steps(flops=2 * FLOPS))
    assert "differ in vocabulary." in clock(trainings(), steps(flops=2 * FLOPS))
    assert fits(trainings(flops=None), steps())
    assert fits(trainings(), steps(flops=None))


def test_the_heap_the_machine_and_the_processes_count_too() -> None:
    def heap(of: str) -> list[dict[str, Any]]:
        return [{"name": "speed", "kind": "speed", "protocol": {"heap": of}}, {"name": "pretrain", "kind": "pretrain"}]

    assert fits(trainings(), steps(), benchmarks=heap("warm"))
    assert not fits(trainings(), steps(), benchmarks=heap("default"))
    assert not fits(trainings(), steps(), launcher="torchrun", processes=2)
    moved = [replace(r, machine=f"machine {r.trial.seed}") for r in steps()]
    assert not fits(trainings(), moved)
    apart = [replace(r, machine=f"machine {r.trial.seed}") for r in trainings()]
    assert fits(apart, steps())


def test_an_activation_that_has_no_step_leaves_all_with_their_own_times() -> None:
    without = {name: factor for name, factor in STEP_S.items() if name != "polynorm"}
    assert not fits(trainings(), steps(of=without))
    assert "differ in activations." in clock(trainings(), steps(of=without))
    lost = [
        r if r.trial.cell.activation != "polynorm" else replace(r, status=Status.DIVERGED, measurements=())
        for r in trainings()
    ]
    assert fits(lost, steps(of=without))


def test_two_clocks_are_both_named_with_what_they_timed() -> None:
    both = [*steps(), *trainings(), *trainings(layers=2)]
    (metric,) = [m for m in Comparisons.of(run(both)).metrics().values() if m.name == "equal_time_loss"]
    assert "by the step_time of speed, taken as exact (pretrain); " in metric.definition
    assert f"{OWN_CLOCK}, since the steps of speed differ in layers (pretrain)." in metric.definition
