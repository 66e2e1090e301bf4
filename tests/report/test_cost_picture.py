"""Time against bytes as one picture, and which picture says the answer of a run."""

from __future__ import annotations

import pytest
from builders import exact, losses, run, suite, times

from polybench.report.compose import compose

TIMES = times({"relu": 0.5, "swiglu": 1.0, "polynorm": 1.5})
BYTES = exact({"relu": 50, "swiglu": 100, "polynorm": 300})


def test_time_stands_against_bytes_where_both_were_measured() -> None:
    found = compose(run([*TIMES, *BYTES]))
    (cost,) = [f for f in found.figures if f.kind == "pareto"]
    assert found.picture == cost.key
    assert {s.label: s.x[0] for s in cost.series} == {"relu": 0.5, "swiglu": 1.0, "polynorm": 3.0}
    assert [s.y[0] for s in cost.series] == pytest.approx([0.5, 1.0, 1.5], rel=0.01)
    assert all(s.low[0] <= s.y[0] <= s.high[0] for s in cost.series if s.low)


@pytest.mark.parametrize("other", [{"level": "activation"}, {"dtype": "bfloat16"}, {"backend": "checkpoint"}])
def test_times_and_bytes_of_different_work_share_no_picture(other: dict[str, str]) -> None:
    level = {"level": "block"} if "level" in other else {}
    apart = exact({"relu": 50, "swiglu": 100, "polynorm": 300}, **other)
    found = compose(run([*times({"relu": 0.5, "swiglu": 1.0, "polynorm": 1.5}, **level), *apart]))
    assert [f.kind for f in found.figures] == ["bars"] and found.picture.startswith("bars-total-time")


def test_bytes_alone_are_bars_and_losses_come_first() -> None:
    alone = compose(run(BYTES))
    (figure,) = alone.figures
    assert figure.kind == "bars" and alone.picture == figure.key
    assert [s.y[0] for s in figure.series] == [0.5, 1.0, 3.0]
    loss, speed = {"relu": [3.0, 3.1], "swiglu": [2.9, 3.0]}, {"relu": [9.0, 8.0], "swiglu": [7.0, 8.0]}
    trained = compose(run([*TIMES, *BYTES, *losses(loss), *losses(speed, "tokens_per_s")]))
    assert trained.picture.startswith("front-time")


def test_the_block_is_preferred_to_the_bare_activation() -> None:
    of = suite(benchmarks=[{"name": "speed", "kind": "speed", "matrix": {"level": ["activation", "block"]}}])
    both = [r for level in ("activation", "block") for r in times({"relu": 0.5, "swiglu": 1.0}, level=level)]
    found = compose(run(both, of))
    assert [f.key for f in found.figures if "block" in f.key] == [found.picture]
