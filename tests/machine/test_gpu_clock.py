"""Which samples the clock readings beside them condemn."""

from __future__ import annotations

import sys

import pytest

from polybench.machine.gpu_clock import IDLE, POWER_LIMIT, SETTING, SHARE, Reading, reader, throttled

FULL = Reading(1980)
THERMAL = 0x20


def test_samples_at_the_full_clock_are_kept() -> None:
    assert throttled([(FULL, FULL)] * 5) == [False] * 5
    assert throttled([]) == []


@pytest.mark.parametrize("reasons", [0x8, 0x10, THERMAL, 0x40, 0x80, 0x100, THERMAL | IDLE])
def test_a_throttle_reason_on_either_side_condemns(reasons: int) -> None:
    slow = Reading(1980, reasons)
    assert throttled([(FULL, FULL), (slow, FULL), (FULL, slow)]) == [False, True, True]


def test_an_idle_device_and_a_clock_somebody_set_are_no_throttle() -> None:
    locked = Reading(1200, SETTING)
    assert throttled([(locked, locked)] * 3) == [False] * 3
    idle = Reading(345, IDLE)
    assert throttled([(FULL, FULL), (idle, FULL), (FULL, idle), (idle, idle)]) == [False] * 4


def test_samples_at_the_power_limit_are_kept_and_set_no_floor() -> None:
    """Clocks as an H200 had them beside matrix products, at 640 to 695 of its 700 W."""
    capped = [(Reading(1980), Reading(mhz, POWER_LIMIT)) for mhz in (1650, 1650, 1710, 1770, 1920)]
    assert throttled([*capped, (FULL, FULL), (FULL, FULL), (FULL, Reading(1900))]) == [False] * 7 + [True]
    hot = Reading(1650, POWER_LIMIT | THERMAL)
    assert throttled([*capped, (hot, FULL)]) == [False] * 5 + [True]


def test_a_clock_below_a_share_of_the_median_condemns() -> None:
    edge = Reading(round(1980 * SHARE) + 1)
    low = Reading(round(1980 * SHARE) - 1)
    assert throttled([(FULL, FULL)] * 4 + [(FULL, edge), (FULL, low), (low, FULL)]) == [False] * 5 + [True, True]


def test_a_run_at_a_low_clock_throughout_is_even() -> None:
    assert throttled([(Reading(1000), Reading(1000))] * 4) == [False] * 4


def test_what_cannot_be_read_is_kept() -> None:
    assert throttled([(None, None), (FULL, None)]) == [False, False]


def test_a_machine_without_nvml_gives_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert reader("0000")() is None
