"""Between two runs: what got worse fails, what cannot be judged is never green, and the code says which."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any, get_args

import pytest
from builders import JOB, baseline, changed, exact, losses, record, run, suite, times
from hypothesis import given, settings
from hypothesis import strategies as st

from polybench.cli.verdicts import as_text, to_json
from polybench.compare.baseline import Baseline
from polybench.compare.comparisons import Comparisons
from polybench.compare.decision import Ruling
from polybench.compare.drift import LEAST_SESSIONS
from polybench.compare.gate import between, exit_code
from polybench.compare.judged import Judged
from polybench.compare.verdict import Verdict
from polybench.errors import NothingMeasured, UsageError
from polybench.kind import kind_of
from polybench.measure.training_metrics import TOKENS_TO
from polybench.metric import in_full
from polybench.record import Measurement, Record, Status
from polybench.run.store import Run

LAWS = settings(max_examples=60, deadline=None, derandomize=True, database=None)
RULES: list[dict[str, Any]] = [
    {"metric": "saved_bytes", "tolerance": 0},
    {"metric": "total_time", "tolerance": "5%"},
    {"metric": "val_loss", "tolerance": 0.02},
]
BYTES = {"relu": 100, "swiglu": 300}
TIMES = {"relu": 1.0, "swiglu": 1.5}
LOSSES = {"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.4, 3.1]}


def gated(records: list[Record], rules: list[dict[str, Any]] | None = None, **environment: Any) -> Run:
    return run(records, suite(gate=RULES if rules is None else rules), **environment)


def everything(**changes: Any) -> list[Record]:
    return [*exact({**BYTES, **changes.get("bytes", {})}), *times({**TIMES, **changes.get("times", {})}),
            *losses({**LOSSES, **changes.get("losses", {})})]  # fmt: skip


KEPT = gated(everything())
BASE = baseline(KEPT)


def of(verdicts: list[Verdict], outcome: str) -> list[str]:
    return [f"{v.label.split('/')[1]} {v.metric.name}" for v in verdicts if v.outcome == outcome]


def judged(records: list[Record], base: Baseline = BASE, **environment: Any) -> tuple[list[Verdict], int, str]:
    verdicts = between(base, gated(records, **environment))
    return verdicts, *exit_code(verdicts)


def test_a_run_against_itself_passes_in_every_cell() -> None:
    verdicts, code, reason = judged(everything())
    assert (code, reason) == (0, "gate passed: 6 gated cells")
    assert len(of(verdicts, "pass")) == 6 == len({(v.label, v.metric.name) for v in verdicts})


def test_one_byte_more_fails_and_one_less_is_an_unrecorded_win() -> None:
    verdicts, code, reason = judged(everything(bytes={"relu": 101}))
    assert code == 1
    assert of(verdicts, "fail") == ["relu saved_bytes"]
    assert "first memory/relu saved_bytes" in reason and "100 became 101" in reason
    verdicts, code, reason = judged(everything(bytes={"relu": 99}))
    assert (code, of(verdicts, "improved")) == (0, ["relu saved_bytes"])
    assert "1 better than the baseline" in reason
    assert "an unrecorded win" in as_text(Judged("gate", "toy", tuple(verdicts), code, reason))


@LAWS
@given(st.integers(1, 10**9), st.integers(0, 10**9), st.floats(0, 1))
def test_exact_metrics_fail_beyond_their_tolerance_and_not_before(was: int, now: int, tolerance: float) -> None:
    rules = [{"metric": "saved_bytes", "tolerance": tolerance}]
    (verdict,) = between(gated(exact({"relu": was}), rules), gated(exact({"relu": now}), rules))
    change = (now - was) / was
    assert verdict.outcome == ("fail" if change > tolerance else "improved" if now < was else "pass")


def test_a_count_without_a_good_direction_may_not_move_either_way() -> None:
    rules = [{"metric": "parameters"}]
    for now in (9, 11):
        base, new = (gated(exact({"relu": n}, "parameters"), rules) for n in (10, now))
        assert exit_code(between(base, new))[0] == 1


def test_a_mean_without_a_good_direction_may_not_move_either_way() -> None:
    rules = [{"metric": "effective_rank", "tolerance": 0.01}]
    base, below, equal, above = (
        gated(losses({"relu": [v + w for w in (0, 0.001, -0.001)]}, "effective_rank"), rules)
        for v in (0.5, 0.4, 0.5, 0.6)
    )
    assert [exit_code(between(base, new))[0] for new in (below, equal, above)] == [1, 0, 1]


def test_an_exact_value_is_told_in_full() -> None:
    assert [in_full(v) for v in (33_570_824.0, 12, 0.004, 0.5)] == ["33,570,824", "12", "0.004", "0.5"]


def test_a_vanished_cell_fails_and_a_new_one_is_told() -> None:
    without = [r for r in everything() if (r.trial.cell.kind, r.trial.cell.activation) != ("memory", "relu")]
    verdicts, code, reason = judged(without)
    assert (code, of(verdicts, "missing")) == (1, ["relu saved_bytes"])
    assert "vanished" in reason
    verdicts, code, reason = judged([*everything(), *exact({"polynorm": 5})])
    assert (code, of(verdicts, "new")) == (0, ["polynorm saved_bytes"])
    assert "1 new and without a baseline" in reason


def test_another_version_of_a_kind_is_another_cell() -> None:
    newer = [
        replace(r, trial=replace(r.trial, cell=replace(r.trial.cell, version=r.trial.cell.version + 1)))
        for r in everything()
    ]
    verdicts, code, _ = judged(newer)
    assert code == 4
    assert {v.outcome for v in verdicts} == {"not comparable", "new"}
    assert all("became" in v.reason for v in verdicts if v.outcome == "not comparable")


def test_an_empty_run_or_baseline_is_nothing_measured() -> None:
    for base, new in ((BASE, gated([])), (gated([]), KEPT)):
        with pytest.raises(NothingMeasured, match="nothing was measured") as caught:
            between(base, new)
        assert caught.value.exit_code == 5


def test_a_rule_that_matches_nothing_is_an_error_and_no_rules_too() -> None:
    with pytest.raises(NothingMeasured, match=r"rule saved_bytes where level=none matches no cell") as caught:
        between(BASE, gated(everything(), [{"metric": "saved_bytes", "where": {"level": "none"}}]))
    assert caught.value.exit_code == 5
    with pytest.raises(UsageError, match="has no gate: rules") as wrong:
        between(BASE, gated(everything(), []))
    assert wrong.value.exit_code == 2


def test_a_rule_for_another_device_holds_nothing_here_beside_one_for_this() -> None:
    one = gated(exact({"relu": 1}), [{"metric": "saved_bytes", "where": {"device": d}} for d in ("cuda", "cpu")])
    assert [v.outcome for v in between(one, one)] == ["pass"]
    alone = gated(exact({"relu": 1}), [{"metric": "saved_bytes", "where": {"device": "cuda"}}])
    with pytest.raises(NothingMeasured, match="device=cuda matches no cell"):
        between(alone, alone)


def test_a_filter_looks_at_its_cells_only() -> None:
    rules = [{"metric": "saved_bytes", "where": {"activation": ["swiglu", "polynorm"], "tokens": 1024}}]
    verdicts = between(gated(everything(), rules), gated(everything(bytes={"relu": 999}), rules))
    assert of(verdicts, "pass") == ["swiglu saved_bytes"]
    assert len(verdicts) == 1


@pytest.mark.parametrize("status", [Status.FAILED, Status.OUT_OF_MEMORY, Status.TIMED_OUT, Status.DIVERGED])
def test_a_gated_cell_that_could_not_be_measured_is_a_broken_gate(status: Status) -> None:
    bad = record("memory", "relu", status=status, error="because")
    verdicts, code, reason = judged([bad, *everything()[1:]])
    assert (code, of(verdicts, "broken")) == (3, ["relu saved_bytes"])
    assert "because" in reason


def test_a_seed_that_the_baseline_finished_and_the_run_did_not_is_a_broken_gate() -> None:
    lost = record("pretrain", "relu", {}, seed=2, status=Status.DIVERGED, error="nan")
    records = [r for r in everything() if r.trial.id != lost.trial.id]
    verdicts, code, _ = judged([*records, lost])
    assert (code, of(verdicts, "broken")) == (3, ["relu val_loss"])


def test_times_of_another_machine_are_not_comparable_and_exact_metrics_still_gate() -> None:
    verdicts, code, reason = judged(everything(), cpu="other", cores=64)
    assert code == 4
    assert set(of(verdicts, "not comparable")) == {"relu total_time", "swiglu total_time"}
    assert "cpu: toy / other" in reason and "cores: 2 / 64" in reason
    assert set(of(verdicts, "pass")) == {"relu saved_bytes", "swiglu saved_bytes", "relu val_loss", "swiglu val_loss"}
    assert judged(everything(bytes={"relu": 101}), cpu="other")[1] == 1
    assert judged(everything(), host="elsewhere", load=[9.0])[1] == 0


@pytest.mark.parametrize(("factor", "outcome"), [(1.06, "fail"), (1.04, "pass"), (0.96, "pass"), (0.94, "improved")])
def test_times_are_held_against_their_tolerance_where_sessions_agree(factor: float, outcome: str) -> None:
    verdicts, code, _ = judged(everything(times={"relu": factor}))
    (relu,) = [v for v in verdicts if v.metric.name == "total_time" and "relu" in v.label]
    assert (relu.outcome, code) == (outcome, int(outcome == "fail"))
    assert relu.change and relu.change.low < factor < relu.change.high


@pytest.mark.parametrize(("factor", "outcome"), [(1.3, "fail"), (1.1, "ungateable"), (1.0, "ungateable")])
def test_where_sessions_differ_more_a_time_fails_later_and_is_never_green(factor: float, outcome: str) -> None:
    """With 5 % between sessions a change of 10 % is missed, so that no verdict says that there is none."""
    base = baseline(KEPT, spread=0.05)
    verdicts, code, reason = judged(everything(times={"relu": factor}), base)
    assert next(v.outcome for v in verdicts if v.metric.name == "total_time" and "relu" in v.label) == outcome
    assert code == {"fail": 1, "ungateable": 4}[outcome]
    assert outcome == "fail" or ("ungateable" in reason and "over twice the tolerance of 5.0%" in reason)


@pytest.mark.parametrize("count", [1, 2, LEAST_SESSIONS - 1])
def test_too_few_sessions_fail_nothing_and_say_how_many_are_missing(count: int) -> None:
    for factor in (1.0, 3.0):
        verdicts, code, reason = judged(everything(times={"relu": factor}), baseline(KEPT, count))
        assert code == 4 and f"{LEAST_SESSIONS - count} missing" in reason
        assert {v.outcome for v in verdicts if v.metric.name == "total_time"} == {"inconclusive"}
        assert all((v.change is not None) == (count > 1) for v in verdicts if v.metric.name == "total_time")


def test_a_run_is_not_held_against_the_session_that_it_became() -> None:
    """Its own session would pull the mean towards it, and a lone one would say nothing but that it is equal."""
    assert exit_code(between(KEPT, KEPT))[0] == 4
    slow = gated(everything(times={"relu": 1.06}))
    own = Baseline.of(slow).sessions
    alone, beside = between(BASE, slow), between(replace(BASE, sessions=(*BASE.sessions, *own)), slow)
    assert alone == beside


def test_a_rate_is_held_by_what_it_makes_of_the_yardstick() -> None:
    """A machine on which everything takes longer has a lower rate of tokens, and the yardstick says why."""
    rules = [{"metric": "step_throughput", "tolerance": "5%"}]

    def steps(slower: float, work: float) -> Run:
        of = suite(gate=rules, benchmarks=[{"name": "speed", "kind": "speed"}])
        return run([_decoder(name, launch, slower, work) for name in ("relu", "swiglu") for launch in range(3)], of)

    base = baseline(steps(1.0, 1.0))
    assert {v.outcome for v in between(base, steps(1.3, 1.0))} == {"pass"}
    assert {v.outcome for v in between(base, steps(1.0, 1.3))} == {"fail"}


def _decoder(name: str, launch: int, slower: float, work: float) -> Record:
    seconds = [slower * 1e-3 * (1 + 0.01 * ((3 * b + launch) % 4)) for b in range(20)]
    values = {"step_time": [work * s for s in seconds], "product_time": seconds}
    started = f"2026-01-01T00:00:0{launch}+00:00"
    return record("speed", name, values, seed=launch, started_at=started, level="decoder")


def test_a_slower_machine_of_the_same_fingerprint_is_divided_away() -> None:
    """Everything takes 30 % longer, the yardstick too."""
    slow = [
        replace(r, measurements=tuple(replace(m, values=tuple(1.3 * v for v in m.values)) for m in r.measurements))
        for r in times(TIMES)
    ]
    assert judged([*exact(BYTES), *slow, *losses(LOSSES)])[1] == 0


@LAWS
@given(st.floats(-0.5, 0.5), st.lists(st.floats(-0.005, 0.005), min_size=3, max_size=3))
def test_losses_are_paired_by_seed_and_held_against_their_tolerance(shift: float, noise: list[float]) -> None:
    moved = [v + shift + n for v, n in zip(LOSSES["relu"], noise, strict=True)]
    verdicts, _, _ = judged(everything(losses={"relu": moved}))
    (verdict,) = [v for v in verdicts if v.metric.name == "val_loss" and "relu" in v.label]
    assert verdict.change is not None
    low, high = verdict.change.low, verdict.change.high
    wanted = "fail" if low > 0.02 else "inconclusive" if high > 0.02 else "improved" if high < -0.02 else "pass"
    assert verdict.outcome == wanted


def test_losses_on_another_text_are_not_comparable() -> None:
    other = [*exact(BYTES), *times(TIMES), *losses(LOSSES, facts={"corpus": "changed"})]
    verdicts, code, _ = judged(other)
    assert code == 4
    assert set(of(verdicts, "not comparable")) == {"relu val_loss", "swiglu val_loss"}


def test_one_seed_that_repeats_bit_for_bit_passes_and_one_that_moved_is_undecided() -> None:
    rules = [{"metric": "val_loss", "tolerance": 0.5}]
    base = gated(losses({"relu": [3.0]}), rules)
    assert exit_code(between(base, gated(losses({"relu": [3.0]}), rules)))[0] == 0
    verdicts = between(base, gated(losses({"relu": [3.1]}), rules))
    assert exit_code(verdicts)[0] == 4
    told = to_json(Judged("gate", "toy", tuple(verdicts), *exit_code(verdicts)))
    assert json.loads(json.dumps(told, allow_nan=False))["verdicts"][0]["change"]["high"] is None


VERDICTS = {
    outcome: Verdict("rule", "cell", kind_of("memory").metric("saved_bytes"), outcome, reason="because")
    for outcome in get_args(Ruling)
}  # fmt: skip
CODES = {"broken": 3, "fail": 1, "missing": 1, "inconclusive": 4, "not comparable": 4, "ungateable": 4}


@LAWS
@given(st.lists(st.sampled_from(sorted(VERDICTS)), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_worst_verdict_decides_the_code_whatever_the_order(outcomes: list[str], random: Any) -> None:
    """Broken comes before failed, failed before undecided, undecided before passed."""
    codes = {CODES.get(o, 0) for o in outcomes}
    worst = 5 if set(outcomes) == {"new"} else next(c for c in (3, 1, 4, 0) if c in codes)
    verdicts = [VERDICTS[o] for o in outcomes]
    code, reason = exit_code(verdicts)
    assert code == worst
    words = {3: "broken", 1: "failed", 4: "inconclusive", 0: "passed", 5: "compared nothing"}
    assert reason.startswith(f"gate {words[worst]}")
    assert ("because" in reason) == (worst not in (0, 5))
    broken = record("speed", "relu", status=Status.TIMED_OUT, error="too slow")
    assert exit_code(verdicts, "pass", run([broken]))[0] == (5 if worst == 5 else 3)
    assert exit_code(verdicts, run=run([record("speed", "relu", status=Status.UNSUPPORTED)])) == (code, reason)
    assert exit_code(verdicts, "fail")[0] == (1 if worst == 4 else worst)
    assert exit_code(verdicts, "pass")[0] == (0 if worst == 4 else worst)
    random.shuffle(verdicts)
    assert exit_code(verdicts)[0] == code
    text = as_text(Judged("gate", "toy", tuple(verdicts), code, reason))
    assert f"{sum(o in ('pass', 'improved') for o in outcomes)} of {len(outcomes)} cells pass" in text


def test_a_rule_of_the_run_not_of_the_baseline_counts() -> None:
    base = changed(KEPT, suite={**KEPT.header["suite"], "gate": []})
    assert exit_code(between(replace(BASE, compared=Comparisons.of(base)), gated(everything())))[0] == 0


def test_times_without_a_yardstick_are_not_comparable() -> None:
    bare = [record("speed", "relu", {"total_time": [1e-3] * 20}, started_at=JOB)]
    rules = [{"metric": "total_time"}]
    assert exit_code(between(gated(bare, rules), gated(bare, rules)))[0] == 4


def test_a_single_launch_decides_nothing_of_times() -> None:
    rules = [{"metric": "total_time", "tolerance": 0.05}]
    base = baseline(gated(times({"swiglu": 1.0, "relu": 0.5}), rules))
    verdicts = between(base, gated(times({"swiglu": 1.0, "relu": 1.0}, launches=1), rules))
    assert {v.reason for v in verdicts} == {"one launch does not say how launches differ"}
    assert {v.outcome for v in verdicts} == {"inconclusive"}


def test_times_taken_with_another_heap_are_not_comparable() -> None:
    rules = [{"metric": "total_time", "tolerance": 0.1}]

    def with_heap(heap: str, launches: int) -> Run:
        protocol = {"heap": heap, "launches": launches}
        of = suite(gate=rules, benchmarks=[{"name": "speed", "kind": "speed", "protocol": protocol}])
        return run(times({"relu": 1.0, "swiglu": 1.0}), of)

    base = baseline(with_heap("warm", 3))
    assert exit_code(between(base, with_heap("warm", 5)))[0] == 0
    code, reason = exit_code(between(base, with_heap("default", 3)))
    assert code == 4 and "protocol heap: warm / default" in reason


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("metric", ["saved_bytes", "val_loss", "total_time"])
def test_what_is_no_number_never_passes(metric: str, bad: float) -> None:
    def spoiled(one: Record) -> Record:
        kept = (replace(m, values=(bad, *m.values[1:])) if m.metric == metric else m for m in one.measurements)
        return replace(one, measurements=tuple(kept))

    edited = gated([spoiled(r) for r in everything()])
    verdicts = between(BASE, edited)
    assert {v.outcome for v in verdicts if v.metric.name == metric} == {"broken"}
    assert exit_code(verdicts)[0] == 3
    verdicts = between(replace(BASE, compared=Comparisons.of(edited)), KEPT)
    if metric != "total_time":  # of which sessions are read, and no file of them holds such a value
        assert {v.outcome for v in verdicts if v.metric.name == metric} == {"not comparable"}


def test_of_several_rules_for_a_cell_the_last_that_matches_holds_it() -> None:
    rules = [{"metric": "saved_bytes"}, {"metric": "saved_bytes", "tolerance": "50%", "where": {"activation": "relu"}}]
    base, more = gated(exact(BYTES), rules), gated(exact({"relu": 120, "swiglu": 300}), rules)
    found = {v.label: (v.rule, v.outcome) for v in between(base, more)}
    assert found == {
        "memory/relu": ("saved_bytes where activation=relu", "pass"),
        "memory/swiglu": ("saved_bytes", "pass"),
    }
    worse = gated(exact({"relu": 120, "swiglu": 301}), rules)
    assert [v.label for v in between(base, worse) if v.outcome == "fail"] == ["memory/swiglu"]
    with pytest.raises(UsageError, match="later gate rules take every cell of saved_bytes where activation=relu"):
        between(base, gated(exact(BYTES), rules[::-1]))


def test_a_baseline_of_another_suite_is_a_mistake() -> None:
    other = run(exact(BYTES), suite(suite="other", gate=RULES))
    with pytest.raises(UsageError, match="is of suite other, and the run of toy"):
        between(other, KEPT)


@pytest.mark.parametrize(("values", "code"), [([math.inf] * 3, 1), ([8000, 9500, math.inf], 4), ([9000] * 3, 0)])
def test_what_never_gets_to_the_reference_is_worse_and_not_broken(values: list[float], code: int) -> None:
    """With every seed; with some of them it is not decided."""
    rules, metrics = [{"metric": "tokens_to_reference"}], {"pretrain": [TOKENS_TO.to_json()]}
    runs = (gated(losses({"relu": v}, "tokens_to_reference"), rules) for v in ([9000] * 3, values))
    base, now = (changed(one, metrics=metrics) for one in runs)
    assert exit_code(between(base, now))[0] == code


def test_a_rate_that_was_tried_and_diverged_is_no_failure() -> None:
    (lost,) = losses({"relu": [0.0]}, status=Status.DIVERGED, error="loss inf")
    tried = replace(lost, trial=replace(lost.trial, benchmark="pretrain.tuning"), measurements=())
    verdicts = between(BASE, gated(everything()))
    assert exit_code(verdicts, run=gated([*everything(), tried]))[0] == 0
    assert exit_code(verdicts, run=gated([*everything(), replace(lost, measurements=())]))[0] == 3


@pytest.mark.parametrize(
    ("metric", "was", "now", "outcome"),
    [("decade", -3, -2, "fail"), ("decade", -3, -4, "improved"), ("decade", -3, -3, "pass")],
)
def test_a_negative_value_may_fall_where_less_is_better(metric: str, was: int, now: int, outcome: str) -> None:
    for effect in ("ratio", "difference"):
        defined = {"name": metric, "unit": "1", "better": "lower", "varies_with": "nothing", "effect": effect,
                   "definition": "a power of ten"}  # fmt: skip
        runs = [gated(exact({"relu": v}, metric), [{"metric": metric}]) for v in (was, now)]
        runs = [changed(one, metrics={"memory": [defined]}) for one in runs]
        (found,) = between(*runs)
        assert found.outcome == outcome


def test_a_metric_that_is_defined_anew_compares_with_nothing() -> None:
    now = gated(everything())
    metrics = {k: [{**m, "version": 2} if m["name"] == "saved_bytes" else m for m in ms]
               for k, ms in now.header["metrics"].items()}  # fmt: skip
    verdicts = between(BASE, changed(now, metrics=metrics))
    assert set(of(verdicts, "not comparable")) == {"relu saved_bytes", "swiglu saved_bytes"}
    assert exit_code(verdicts)[0] == 4


def test_what_a_cell_does_not_have_on_either_side_is_no_verdict() -> None:
    def tokens(value: float) -> list[Record]:
        return [replace(r, measurements=(*r.measurements, Measurement("step_peak_bytes", (value,))))
                if r.trial.cell.activation == "relu" else r for r in losses(LOSSES)]  # fmt: skip

    rules = [RULES[-1], {"metric": "step_peak_bytes"}]
    whole = gated(tokens(100), rules)
    verdicts = between(Baseline.of(whole), gated(tokens(100), rules))
    assert of(verdicts, "pass") == ["relu val_loss", "swiglu val_loss", "relu step_peak_bytes"] and len(verdicts) == 3
    lost = [replace(r, status=Status.FAILED, measurements=()) for r in tokens(100)]
    verdicts = between(Baseline.of(whole), gated(lost, rules))
    assert "swiglu step_peak_bytes" in of(verdicts, "not comparable"), "a failed trial might have had it"
