"""A suite over time: what changed is found by the rule of its kind, and equal sessions show no change."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from builders import LAWS, MACHINE, exact, losses, run, suite, times
from hypothesis import given
from hypothesis import strategies as st

from polybench.compare import changes
from polybench.compare.comparisons import Comparisons
from polybench.compare.history import Change, History, Line, history
from polybench.compare.kept_session import Session, Told, distinct, letter, machines, session
from polybench.compare.sessions import session_of
from polybench.compare.stored_session import told_with
from polybench.plan.suite import Suite
from polybench.record import Record, Status
from polybench.run.past import Kept, Shelf
from polybench.stats import ALPHA, Estimate

BYTES = {"relu": 4096.0, "swiglu": 8192.0, "polynorm": 4096.0}
TIMES = {"relu": 0.5, "swiglu": 1.0, "polynorm": 2.0}
LOSSES = {"relu": [3.0, 3.5, 3.2], "swiglu": [2.9, 3.41, 3.1], "polynorm": [2.7, 3.21, 2.9]}


def day(number: int) -> str:
    return f"2026-{1 + number // 28:02}-{1 + number % 28:02}T08:00:00+00:00"


def kept(number: int, shelf: Shelf = "run") -> Kept:
    return Kept(day(number), Path(f"results/toy/{number}"), "toy", shelf)


def of(
    number: int, records: Sequence[Record], of: Suite | None = None, shelf: Shelf = "run", **changes: Any
) -> Session:
    """The session of one day; `changes` are of the environment."""
    one = run([replace(r, started_at=day(number)) for r in records], of, f"results/toy/{number}", **changes)
    return session(one, kept(number, shelf))


def everything(
    bytes_of: Mapping[str, float] = BYTES,
    time_of: Mapping[str, float] = TIMES,
    loss_of: Mapping[str, Sequence[float]] = LOSSES,
) -> list[Record]:
    return [*exact(bytes_of), *times(time_of, launches=1), *losses(loss_of)]


def found(of: History, metric: str) -> list[Change]:
    return [c for c in of.changes if c.metric.name == metric]


def line(of: History, metric: str, activation: str) -> Line:
    (one,) = (x for x in of.lines if (x.metric.name, x.activation) == (metric, activation))
    return one


def test_equal_sessions_show_no_change_and_every_line_has_all_of_them() -> None:
    told = history([of(i, everything()) for i in range(7)])
    assert not told.changes
    assert {len(x.spots) for x in told.lines} == {7} and not any(x.left_out for x in told.lines)
    assert {x.metric.name for x in told.lines} == {"saved_bytes", "total_time", "val_loss"}
    assert {x.activation for x in told.lines if x.metric.name == "total_time"} == {"relu", "polynorm"}  # the ratios
    assert [x.where for x in told.lines if x.metric.name == "saved_bytes"] == ["cpu"] * 3
    assert line(told, "total_time", "polynorm").spots[0].shown.value == pytest.approx(2.0, rel=1e-3)
    assert line(told, "saved_bytes", "swiglu").spots[0].shown == Estimate(8192.0, 8192.0, 8192.0, 1)


@LAWS
@given(st.lists(st.sampled_from([4096.0, 4097.0, 8192.0]), min_size=1, max_size=9))
def test_a_count_changes_when_it_differs_and_never_else(counts: list[float]) -> None:
    steps = list(changes.of_counts([(i, Told(Estimate(v, v, v, 1))) for i, v in enumerate(counts)]))
    assert [s.session for s in steps] == [i for i in range(1, len(counts)) if counts[i] != counts[i - 1]]
    assert all(s.change.value == pytest.approx(s.new.value / s.old.value) for s in steps)


def test_a_change_names_its_company() -> None:
    before, after = everything(), everything({**BYTES, "relu": 5000.0})
    packages = {"torch": "2.7", "numpy": "2.4"}
    told = history([of(0, before), of(1, before), of(2, after, code="beef", packages=packages, revision="r2")])
    (change,) = found(told, "saved_bytes")
    assert (change.activation, change.step.before, change.step.session, change.better) == ("relu", 1, 2, False)
    assert change.company == ("code c0de → beef", "torch 2.6 → 2.7", "numpy none → 2.4")
    (moved,) = found(history([of(0, before), of(1, after, cpu="other", revision="r")]), "saved_bytes")
    assert moved.company == ("the machine (processor.cpu: toy → other)",)
    assert found(history([of(0, before), of(1, after)]), "saved_bytes")[0].company == ()


def test_a_loss_changes_when_its_seeds_do_together() -> None:
    """Seed by seed 0.05 more; a difference as large that is up and down says nothing."""
    up = {**LOSSES, "relu": [v + d for v, d in zip(LOSSES["relu"], (0.05, 0.051, 0.049), strict=True)]}
    mixed = {**LOSSES, "relu": [v + d for v, d in zip(LOSSES["relu"], (0.05, -0.05, 0.01), strict=True)]}
    (change,) = history([of(0, losses(LOSSES)), of(1, losses(up))]).changes
    assert change.step.change.value == pytest.approx(0.05, abs=1e-3) and change.better is False
    assert not history([of(0, losses(LOSSES)), of(1, losses(mixed))]).changes
    alone = {name: values[:1] for name, values in LOSSES.items()}
    assert not history([of(0, losses(alone)), of(1, losses({**alone, "relu": [9.0]}))]).changes


def test_a_loss_is_told_by_the_seeds_that_both_sessions_have() -> None:
    """Three more were far worse before, so that the mean of all of them fell while every shared seed rose."""
    before = {name: [*values, *(v + 1 for v in values)] for name, values in LOSSES.items()}
    up = {**LOSSES, "relu": [v + d for v, d in zip(LOSSES["relu"], (0.1, 0.101, 0.099), strict=True)]}
    (change,) = history([of(0, losses(before)), of(1, losses(up))]).changes
    assert change.better is False and change.step.new.value - change.step.old.value == pytest.approx(0.1, abs=1e-3)


def test_ratios_to_another_reference_are_no_part_of_a_line() -> None:
    other = suite(reference="relu")
    told = history([*(of(i, everything(), other) for i in range(4)), *(of(i, everything()) for i in range(4, 8))])
    assert told.apart == 4 and not told.changes
    assert [s.session for s in line(told, "total_time", "polynorm").spots] == [4, 5, 6, 7]
    assert len(line(told, "saved_bytes", "polynorm").spots) == 8


def test_another_text_is_no_change_of_loss() -> None:
    up = {name: [v + 1 for v in values] for name, values in LOSSES.items()}
    told = history([of(0, losses(LOSSES, facts={"corpus": "a"})), of(1, losses(up, facts={"corpus": "b"}))])
    assert not told.changes


def ratios(values: Sequence[float], width: float = 0.005) -> changes.Seen:
    return [(i, Told(Estimate(v, v * (1 - width), v * (1 + width), 9))) for i, v in enumerate(values)]


CALM = [1.0, 1.01, 0.99, 1.005, 0.995, 1.0, 1.01, 0.99]


@pytest.mark.parametrize(("factor", "sessions"), [(1.3, [8]), (0.7, [8]), (1.02, [])])
def test_a_time_changes_when_two_sessions_in_a_row_leave_what_was(factor: float, sessions: list[int]) -> None:
    steps = list(changes.of_times(ratios([*CALM, *(factor * v for v in CALM)]), 0.03, 1e-3))
    assert [s.session for s in steps] == sessions and all(s.confirmed for s in steps)
    for step in steps:
        assert step.old.value == pytest.approx(1.0, abs=1e-3) and step.before == 7
        assert step.change.low < factor < step.change.high


def test_a_session_that_stands_alone_is_no_change_and_the_last_one_is_not_confirmed() -> None:
    assert not list(changes.of_times(ratios([*CALM, 1.4, *CALM]), 0.03, 1e-3))
    assert not list(changes.of_times(ratios([*CALM, 1.4, 0.6, *CALM]), 0.03, 1e-3))
    (last,) = changes.of_times(ratios([*CALM, 1.4]), 0.03, 1e-3)
    assert (last.session, last.confirmed) == (8, False)
    assert not list(changes.of_times(ratios([*CALM[: changes.LEAST - 1], 1.4, 1.4]), 0.03, 1e-3))
    wide = [*ratios(CALM), *((i, t) for i, t in ratios([1.4] * 10, 0.6)[8:])]
    assert not list(changes.of_times(wide, 0.03, 1e-3))  # whose own interval reaches what was


def test_pages_of_sessions_that_only_drift_show_a_change_as_rarely_as_they_say() -> None:
    """Twenty sessions of ten cells that spread by 3 %, the margin being none: at most 5 % of pages."""
    drawn, cells, count, wrong = random.Random(3), 10, 30, 0
    level = ALPHA / (cells * (20 - changes.LEAST))
    for _ in range(count):
        pages = [ratios([math.exp(drawn.gauss(0, 0.03)) for _ in range(20)], 0.0) for _ in range(cells)]
        wrong += any(step.confirmed for page in pages for step in changes.of_times(page, 0.0, level))
    assert wrong <= 2


def test_a_shift_of_15_percent_is_found_among_twelve_sessions_of_one_percent() -> None:
    drawn, hits = random.Random(4), 0
    for _ in range(40):
        values = [math.exp(drawn.gauss(0, 0.01)) * (1.15 if i >= 12 else 1.0) for i in range(16)]
        hits += [s.session for s in changes.of_times(ratios(values), 0.03, ALPHA / 200)] == [12]
    assert hits >= 36


def test_machines_have_lines_of_their_own_for_times_and_none_for_counts() -> None:
    sessions = [of(i, everything(), cpu="left" if i % 2 else "toy") for i in range(4)]
    assert machines(sessions) == ["A", "B", "A", "B"]
    told = history(sessions)
    of_times = [x for x in told.lines if x.metric.name == "total_time"]
    assert sorted((x.activation, x.where, len(x.spots)) for x in of_times) == [
        ("polynorm", "A", 2), ("polynorm", "B", 2), ("relu", "A", 2), ("relu", "B", 2),
    ]  # fmt: skip
    assert {len(x.spots) for x in told.lines if x.metric.name != "total_time"} == {4}


def test_software_and_what_was_not_recorded_make_no_other_machine() -> None:
    sessions = [of(0, everything()), of(1, everything(), torch="2.7", code="x"), of(2, everything(), boost="on")]
    assert machines(sessions) == ["A", "A", "A"] and "boost" not in MACHINE
    assert [letter(i) for i in (0, 25, 26, 52)] == ["A", "Z", "A2", "A3"]


def test_what_another_session_holds_is_not_shown_twice() -> None:
    whole = of(0, everything())
    baseline = replace(of(0, exact(BYTES), shelf="baseline"), path="results/baselines/ours")
    other = of(1, everything())
    own, within = distinct([baseline, other, whole])
    assert own == [whole, other] and [(a.path, b.path) for a, b in within] == [(baseline.path, whole.path)]
    again, twice = distinct([whole, replace(whole, path="copy", shelf="published")])
    assert again == [whole] and len(twice) == 1


def stored(
    number: int,
    time_of: Mapping[str, float] = TIMES,
    rates: Sequence[Record] = (),
    **environment: Any,
) -> Session:
    """What a baseline stores of a run of that day."""
    one = run([*times(time_of), *(rates or losses(LOSSES, "tokens_per_s"))], None, **environment)
    held = replace(session_of(Comparisons.of(one)), started_at=day(number))
    return told_with(of(0, everything(), shelf="baseline"), held, f"results/baselines/ours/toy/{number}.json")


def test_a_stored_session_tells_the_times_that_its_run_does() -> None:
    whole = of(0, [*times(TIMES), *losses(LOSSES, "tokens_per_s")])
    mine = stored(0)
    assert mine.told.keys() == whole.told.keys() and len(mine.told) == 4
    for key, told in mine.told.items():
        assert told.shown.value == pytest.approx(whole.told[key].shown.value, rel=1e-3)
        assert told.shown.known
    (line_,) = (x for x in history([mine, of(1, everything())]).lines
                if (x.metric.name, x.activation) == ("total_time", "relu"))  # fmt: skip
    assert [s.session for s in line_.spots] == [0, 1] and line_.where == "A"


def test_seeds_that_a_stored_session_lacks_make_it_say_nothing() -> None:
    lost = [r for r in losses(LOSSES, "tokens_per_s") if (r.trial.cell.activation, r.trial.seed) != ("relu", 0)]
    assert not [
        name for name, _, cell in stored(0, rates=lost).told if name != "total_time" and cell.activation == "relu"
    ]
    assert [name for name, _, cell in stored(0).told if name != "total_time" and cell.activation == "relu"]


def test_a_stored_session_and_the_run_it_was_kept_from_are_one() -> None:
    whole = of(0, times(TIMES))
    mine = replace(stored(0), told={k: t for k, t in stored(0).told.items() if k[0] == "total_time"})
    later, elsewhere = replace(mine, started_at=day(1)), replace(mine, environment={**mine.environment, "cores": 64})
    own, within = distinct([mine, later, elsewhere, whole])
    assert sorted(s.path for s in own) == sorted(s.path for s in (elsewhere, whole, later))
    assert [(a.path, b.path) for a, b in within] == [(mine.path, whole.path)]


def test_what_a_stored_session_does_not_hold_is_no_change() -> None:
    """It names no packages and no revision; the version of torch that it has is told where it differs."""
    slower = {**TIMES, "relu": 1.0}
    told = history([*(stored(i) for i in range(6)), *(of(6 + i, everything(time_of=slower)) for i in range(2))])
    (change,) = found(told, "total_time")
    assert (change.activation, change.step.session, change.company) == ("relu", 6, ())
    moved = history([*(stored(i) for i in range(6)),
                     *(of(6 + i, everything(time_of=slower), torch="2.7") for i in range(2))])  # fmt: skip
    assert found(moved, "total_time")[0].company == ("torch 2.6 → 2.7",)


def test_a_line_is_of_the_cells_of_the_latest_whole_session() -> None:
    """A value that is new in the matrix, and a run of a part, break no line; a matrix that is another begins anew."""
    small, large = exact(BYTES, tokens=8), exact({k: 9 * v for k, v in BYTES.items()}, tokens=16)
    grown = history([of(0, small), of(1, small), of(2, small), of(3, [*small, *large])])
    assert len(line(grown, "saved_bytes", "relu").spots) == 4 and line(grown, "saved_bytes", "relu").left_out == 0
    part = of(4, [r for r in small if r.trial.cell.activation == "relu"])
    partly = history([of(0, [*small, *large]), of(1, [*small, *large]), replace(part, whole=False)])
    assert [s.session for s in line(partly, "saved_bytes", "relu").spots] == [0, 1]
    assert line(partly, "saved_bytes", "relu").left_out == 1
    other = history([of(0, small), of(1, large)])
    assert [s.session for s in line(other, "saved_bytes", "relu").spots] == [1]


def test_the_median_over_cells_is_shown_and_every_cell_is_asked() -> None:
    cells = [r for tokens in (8, 16, 32) for r in exact({k: v * tokens for k, v in BYTES.items()}, tokens=tokens)]
    more = [*cells[:-3], *exact({**{k: v * 32 for k, v in BYTES.items()}, "relu": 1.0}, tokens=32)]
    told = history([of(0, cells), of(1, more)])
    assert line(told, "saved_bytes", "relu").spots[0].shown.value == 4096 * 16
    (change,) = told.changes
    assert (change.changed, change.cells, change.cell.axis("tokens"), change.better) == (1, 3, 32, True)


def test_a_metric_is_chosen_by_its_gate_its_header_or_its_name() -> None:
    records = [*exact(BYTES), *exact(BYTES, "peak_bytes", tokens=99)]
    assert set(of(0, records).metrics) == {"saved_bytes", "total_time", "val_loss", "tokens_per_s",
                                           "step_peak_bytes"}  # fmt: skip
    assert "peak_bytes" in of(0, records, suite(gate=[{"metric": "peak_bytes"}])).metrics
    assert set(session(run(records), kept(0), ["peak_bytes"]).metrics) == {"peak_bytes"}


def test_a_mean_over_the_seeds_that_are_left_is_not_shown() -> None:
    lost = replace(losses(LOSSES)[0], status=Status.DIVERGED, measurements=())
    told = of(0, [lost, *losses(LOSSES)[1:]])
    assert {cell.activation for _, _, cell in told.told} == {"swiglu", "polynorm"}
    assert told.ended == {"diverged": 1, "ok": 8}


def test_no_session_is_no_history() -> None:
    with pytest.raises(ValueError, match="no session"):
        history([])
