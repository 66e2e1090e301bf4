"""What sessions of equal code promise: margins that hold over a whole gate, and cells that are called too coarse."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from polybench.compare.drift import LEAST_SESSIONS, Drift, drifts
from polybench.compare.sessions import Key, Session, Timed
from polybench.compare.stored_times import History, bounds, decided
from polybench.measure.speed_metrics import STEP_RATE, TOTAL
from polybench.stats import ALPHA, clopper_pearson
from polybench.trial import Cell

CELLS = 8
KEYS: list[Key] = [
    ("speed", Cell("speed", 1, f"a{i}", "eager", "cpu", "float32", ()), "total_time") for i in range(CELLS)
]


def session(number: int, levels: list[float]) -> Session:
    times = {key: Timed(1e-3, (x, x)) for key, x in zip(KEYS, levels, strict=True)}
    return Session(str(number), "", {}, {}, times)


def drift(sd: float, count: int = LEAST_SESSIONS) -> Drift:
    return Drift(tuple([0.0] * count), sd)


@LAWS
@given(st.floats(1e-4, 0.1), st.integers(2, 60), st.integers(1, 100), st.floats(0, 0.2))
def test_the_margin_is_the_tolerance_or_the_quantile_of_what_equal_code_does(
    sd: float, count: int, tests: int, tolerance: float
) -> None:
    k = scipy_stats.t.ppf(1 - ALPHA / tests, count - 1)
    expected = max(math.log1p(tolerance), k * math.sqrt(1 + 1 / count) * sd)
    found = bounds(drift(sd, count), tolerance, 0, tests)
    assert math.log1p(found.margin) == pytest.approx(expected, rel=1e-6)
    assert found.detectable > found.margin or sd == 0
    assert found.gateable == (found.detectable <= 2 * tolerance * (1 + 1e-12))


@LAWS
@given(st.floats(1e-3, 0.05), st.floats(-0.5, 0.5), st.integers(1, 50))
def test_a_verdict_never_contradicts_its_margin(sd: float, change: float, tests: int) -> None:
    past, new = History(1.0, drift(sd)), Timed(1.0, (change, change))
    limit = math.log1p(bounds(past.drift, 0.05, 2, tests).margin)  # type: ignore[arg-type]
    found = decided(past, TOTAL, new, 0.05, tests)
    assert (found.outcome == "fail") == (change > limit)
    assert found.outcome != "fail" or (found.p is not None and found.p <= ALPHA / tests * (1 + 1e-9))
    assert found.change and found.change.low <= math.exp(change) <= found.change.high
    rate = decided(past, STEP_RATE, Timed(1.0, (-change, -change)), 0.05, tests)
    assert rate.outcome == found.outcome, "less of a rate is as bad as more of a time"


def test_sessions_are_pooled_over_a_place_unless_a_cell_is_noisier() -> None:
    draw = random.Random(0)
    quiet = [[draw.gauss(0, 0.01) for _ in KEYS] for _ in range(20)]
    loud = [[draw.gauss(0, 0.05), *levels[1:]] for levels in quiet]
    found = drifts(session(i, levels) for i, levels in enumerate(loud))
    first, *others = (found[key].sd for key in KEYS)
    assert first > 0.03 and len(set(others)) == 1 and others[0] < first


def test_a_run_of_fewer_launches_gets_a_wider_margin() -> None:
    known = Drift(tuple([0.0] * 20), 0.01, within=1e-4, launches=12)
    margins = [bounds(known, 0.0, launches, 1).margin for launches in (3, 6, 12, 24)]
    assert margins[0] > margins[1] > margins[2] == margins[3]


def test_equal_code_fails_a_gate_as_seldom_as_is_said_and_slower_code_is_found() -> None:
    """Whether all cells of a session move together or each by itself."""
    count, draw = 50, random.Random(1)
    for together in (0.0, 1.0):
        ended: Counter[str] = Counter()
        for _ in range(count):
            every = []
            for _ in range(LEAST_SESSIONS + 1):
                shared = draw.gauss(0, 0.011)
                every.append([together * shared + (1 - together) * draw.gauss(0, 0.011) for _ in KEYS])
            known = drifts(session(i, levels) for i, levels in enumerate(every[:-1]))
            found = [
                decided(History(1.0, known[k]), TOTAL, Timed(1.0, (x, x)), 0.0, CELLS)
                for k, x in zip(KEYS, every[-1], strict=True)
            ]
            ended["alarm"] += any(one.outcome == "fail" for one in found)
            slower = decided(
                History(1.0, known[KEYS[0]]), TOTAL, Timed(1.0, (every[-1][0] + math.log(1.15),) * 2), 0.05, CELLS
            )
            ended["found"] += slower.outcome == "fail"
        assert clopper_pearson(ended["alarm"], count)[0] <= ALPHA
        assert ended["found"] > 0.95 * count
