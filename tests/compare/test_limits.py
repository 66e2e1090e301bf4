"""Limits from made-up times: the share of what a copy and a product reach, and what binds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from builders import record, run, section

from polybench.compare.points import points
from polybench.record import Record
from polybench.report import limits
from polybench.run.store import Run

MOVES = {"least_bytes": 5e6, "flops": 2e6}  # copied at 10 GB/s: 0.5 ms; computed at 50 GFLOP/s: 0.04 ms


def timed(
    name: str, total: float, least: Mapping[str, float] = MOVES, launch: float = 1e-5, **axes: str
) -> list[Record]:
    """Two launches of twenty blocks that drift together by half."""
    found = []
    for seed in (0, 1):
        drift = [1 + 0.5 * ((3 * b + seed) % 5) / 4 for b in range(20)]
        values = {
            "total_time": [total * d for d in drift],
            "copy_time": [4e-4 * d for d in drift],
            "product_time": [2e-3 * d for d in drift],
            "copy_bytes": [4e6],
            "product_flops": [1e8],
            "launch_time": [launch],
            **{k: [v] for k, v in least.items()},
        }
        found.append(record("speed", name, values, seed=seed, **axes))
    return found


def limit(one: Run) -> limits.Limit:
    (found,) = limits.limits(points(one))
    return found


@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
def test_the_share_is_the_least_time_over_the_time_whatever_drifts(share: float) -> None:
    found = limit(run(timed("relu", 5e-4 / share)))
    assert found.share.value == pytest.approx(share)
    assert found.share.low == pytest.approx(share)
    assert found.share.high == pytest.approx(share)


def test_what_was_timed_without_a_yardstick_has_no_limit() -> None:
    """As by `polybench compare`, which times no copies and no products."""
    for gone in ("copy_time", "product_time"):
        one = run([
            replace(r, measurements=tuple(m for m in r.measurements if m.metric != gone)) for r in timed("relu", 1e-3)
        ])  # fmt: skip
        assert not list(limits.limits(points(one))) and not section(limits, one).tables


def test_rates_are_amounts_over_times() -> None:
    found = limit(run(timed("relu", 1e-3)))
    typical = 1.25  # the median of the drift
    assert found.bandwidth == pytest.approx(5e9 / typical)
    assert found.copy_bandwidth == pytest.approx(1e10 / typical)
    assert found.rate == pytest.approx(2e9 / typical)
    assert found.product_rate == pytest.approx(5e10 / typical)


@pytest.mark.parametrize(
    ("least", "launch", "bound"),
    [(MOVES, 1e-5, "memory"), (MOVES, 2e-3, "launches"), ({"least_bytes": 5e5, "flops": 1e8}, 1e-5, "arithmetic"),
     ({"least_bytes": 5e5, "flops": 1e10}, 1e-5, "memory"),
     ({"flops": 1e8}, 1e-5, "arithmetic")],
)  # fmt: skip
def test_the_largest_least_time_binds(least: dict[str, float], launch: float, bound: str) -> None:
    assert limit(run(timed("relu", 1e-2, least, launch))).bound == bound


def test_a_block_has_its_products_alone() -> None:
    found = limit(run(timed("relu", 4e-3, {"flops": 1e8}, level="block")))
    assert found.bandwidth is None
    assert found.share.value == pytest.approx(0.5)


def test_what_declares_nothing_has_no_limit_and_is_named() -> None:
    one = run([*timed("relu", 1e-3), *timed("polynorm", 1e-3, {})])
    (table,) = section(limits, one).tables
    assert [row[0].text for row in table.rows] == ["relu"]
    assert table.notes == ("polynorm (activation) declares no cost, so it has no limit here.",)
    assert section(limits, run(timed("polynorm", 1e-3, {}))).tables == ()
