"""Several sessions of one measurement: which may be pooled, and what they say together."""

from __future__ import annotations

import csv
import json
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from builders import exact, losses, run, save, suite, times
from commands import Capture, call

from polybench.compare.pool import Pool, Pooled, pool
from polybench.errors import NothingMeasured, ResultsError
from polybench.report.pool import document
from polybench.run.store import Run
from polybench.stats import CONFIDENCE_TIME, paired

TOTAL = "total_time"
OF = suite(benchmarks=[{"name": kind, "kind": kind} for kind in ("speed", "memory", "pretrain")])


def session(day: int, factor: float = 1.6, more: Sequence[Any] = (), of: Any = OF, **changes: Any) -> Run:
    """Times of one day in which polynorm takes `factor` times as long as swiglu."""
    factors = {"relu": 0.9, "swiglu": 1.0, "polynorm": factor}
    found = times(factors, started_at=f"2026-01-{day:02}T00:00:00+00:00", **changes)
    return run([*found, *more], of, f"results/toy/{day}")


def polynorm(found: Pool) -> Pooled:
    (one,) = (c for c in found.cells if c.cell.activation == "polynorm")
    return one


@pytest.mark.parametrize("factors", [(1.668, 1.545, 1.670), (1.6, 1.61), (1.05, 1.051, 1.049, 1.05)])
def test_sessions_are_the_sample(factors: Sequence[float]) -> None:
    one = polynorm(pool([session(day, factor) for day, factor in enumerate(factors, 1)], TOTAL))
    expected = paired([math.log(f) for f in factors], CONFIDENCE_TIME).map(math.exp)
    change = one.comparison.change
    assert change
    assert [*one.ratios] == pytest.approx(factors, rel=2e-3)
    assert (change.value, change.n) == (pytest.approx(expected.value, rel=2e-3), len(factors))
    assert change.low == pytest.approx(expected.low, rel=0.02) and change.high == pytest.approx(expected.high, rel=0.02)
    assert one.between == pytest.approx(statistics.stdev(map(math.log, factors)), rel=0.2, abs=1e-3)
    assert one.comparison.outcome == ("worse" if change.low > 1.03 else "unresolved")
    assert one.within < 1e-3


def test_one_session_gives_neither_interval_nor_verdict() -> None:
    found = pool([session(1)], TOTAL)
    change = polynorm(found).comparison.change
    assert change and not change.known and math.isnan(polynorm(found).between)
    assert {c.comparison.outcome for c in found.cells} <= {"unresolved", "none"}
    assert any(note.startswith("One session gives no interval") for note in document(found).notes)


def test_a_cell_that_a_session_lacks_counts_the_others() -> None:
    less = session(3)
    records = tuple(r for r in less.records if r.trial.cell.activation != "polynorm")
    found = pool([session(1), session(2), run(records, OF, "results/toy/3")], TOTAL)
    assert polynorm(found).ratios[2] is None and polynorm(found).comparison.change.n == 2  # type: ignore[union-attr]


@pytest.mark.parametrize(("copy", "outcome"), [(1.0, "worse"), (1.03, "unresolved"), (1.2, "unstable")])
def test_what_equal_code_shows_over_the_sessions_raises_the_margin(copy: float, outcome: str) -> None:
    """Twice an offset of 3 % hides a difference of 5 %; an offset beyond the margin leaves no verdict."""
    found = pool([session(day, 1.05, copy=copy) for day in (1, 2, 3)], TOTAL)
    assert polynorm(found).comparison.outcome == outcome


def test_intervals_cover_where_sessions_differ() -> None:
    """Sessions that lie 3 % apart: a single one's interval would cover hardly ever, this one covers 98 %."""
    drawn, covered, count = random.Random(0), 0, 60
    for _ in range(count):
        factors = [1.6 * math.exp(drawn.gauss(0, 0.03)) for _ in range(3)]
        change = polynorm(pool([session(d, f, blocks=7) for d, f in enumerate(factors, 1)], TOTAL)).comparison.change
        covered += bool(change and change.low < 1.6 < change.high)
    assert covered >= 0.93 * count


REFUSED = {
    "share trials": (session(1), session(1)),
    "machines that differ": (session(1), run(session(2).records, OF, "two", cpu="another")),
    "resumed after changes": (session(1), Run(Path("two"), {**session(2).header, "forced": ["x"]}, session(2).records)),
    "references differ": (session(1), session(2, of=suite(reference="relu"))),
    "share no cell": (session(1), session(2, tokens=64)),
    "measured otherwise": (
        session(1),
        session(2, of=suite(benchmarks=[{"name": "speed", "kind": "speed", "protocol": {"heap": "default"}}])),
    ),
    "saved_bytes of memory/relu is 1 in one and 2 in the other": (
        session(1, more=exact({"relu": 1}, started_at="one")),
        session(2, more=exact({"relu": 2}, started_at="two")),
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_other_session_of_the_same_is_refused(why: str) -> None:
    with pytest.raises(ResultsError, match=f"cannot be pooled: .*{why}"):
        pool(REFUSED[why], TOTAL)


def test_a_run_of_several_machines_is_no_session() -> None:
    one = session(1)
    sources = [{"environment": {**one.environment, "cpu": cpu}} for cpu in ("a", "b")]
    with pytest.raises(ResultsError, match="several machines"):
        pool([Run(one.path, {**one.header, "sources": sources}, one.records)], TOTAL)


@pytest.mark.parametrize("metric", ["val_loss", "saved_bytes", "wall_time", "nothing"])
def test_only_times_are_pooled(metric: str) -> None:
    with pytest.raises(NothingMeasured, match=metric):
        pool([session(1)], metric)


def test_losses_are_left_out_and_it_is_said() -> None:
    more = losses({"relu": [1.0], "swiglu": [1.0]})
    notes = document(pool([session(1, more=more), session(2)], TOTAL)).notes
    assert any(note.startswith("Losses are not pooled") for note in notes)


def test_as_a_user_pools(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for day, factor in enumerate((1.668, 1.545, 1.670), 1):
        save(session(day, factor, jitter=1e-5), tmp_path / f"day-{day}")
    runs = [f"day-{day}" for day in (1, 2, 3)]
    assert call("pool", *runs) == 0
    shown = capsys.readouterr().out
    assert "1.668, 1.545, 1.670" in shown and "Sessions differ by" in shown
    assert call("pool", *runs, "--format", "csv") == 0
    values = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["run"] for row in values} == set(runs)
    assert call("pool", *runs, "--out", "together") == 0
    written = json.loads((tmp_path / "together" / "pool.json").read_text())
    assert written["tables"][0]["key"] == "speed"
    assert {p.suffix for p in (tmp_path / "together").iterdir()} >= {".html", ".md", ".json", ".gz"}
    capsys.readouterr()
    assert call("pool", "day-1", "day-1") == 2
    assert "one session" in capsys.readouterr().err
    assert call("pool", "day-1", "--metric", "val_loss") == 5
