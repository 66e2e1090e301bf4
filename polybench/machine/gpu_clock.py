"""Did the GPU run at its clock? Readings beside each sample, and which samples they condemn."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Bits of NVML's clocks event reasons (nvml.h, nvmlClocksEventReason*) that slow nothing that was asked
# for: nothing runs, and a clock that somebody set. Every other reason is a throttle but the power limit:
# what draws that much runs so for good, an H200 in bfloat16 products at 1650 to 1965 of 1980 MHz.
IDLE, SETTING, POWER_LIMIT = 0x1, 0x2, 0x4
# A sample is dropped below this share of the run's median clock. Steps of the SM clock are 15 MHz, under
# 1 % of it, and times of a kernel bound by arithmetic grow as the clock falls: 3 % is the least margin.
SHARE = 0.97


@dataclass(frozen=True)
class Reading:
    """SM clock in MHz, and NVML's bits that say why it is not higher."""

    sm_mhz: int
    reasons: int = 0

    @property
    def busy(self) -> bool:
        """Was it read while the device worked? An idle device's clock says nothing about a sample's."""
        return not self.reasons & IDLE


Pair = tuple[Reading | None, Reading | None]  # before and after a sample; None where nothing can be read
Read = Callable[[], Reading | None]


def throttled(pairs: Sequence[Pair]) -> list[bool]:
    """For each sample: a throttle reason was active beside it, or its clock was below the run's median.

    A sample's clock is the lowest read beside it while the device was busy. Samples without a reading
    are kept: what cannot be seen is no reason to discard. Samples at the power limit are kept too, and
    are no part of the median: that their clock wanders is for blocks and the A/A copy to show.
    """
    limited = [any(r.reasons & POWER_LIMIT for r in pair if r) for pair in pairs]
    lowest = [
        None if at_limit else min((r.sm_mhz for r in pair if r and r.busy), default=None)
        for pair, at_limit in zip(pairs, limited, strict=True)
    ]
    known = [clock for clock in lowest if clock is not None]
    floor = SHARE * statistics.median(known) if known else 0.0
    return [
        any(r.reasons & ~(IDLE | SETTING | POWER_LIMIT) for r in pair if r) or (clock is not None and clock < floor)
        for pair, clock in zip(pairs, lowest, strict=True)
    ]


def reader(uuid: str) -> Read:
    """Reads the clock of the device with this UUID; gives None where NVML is missing or refuses (MIG)."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
        handle = _handle(nvml, uuid)
    except Exception:  # no package, no driver, no permission, an unknown device
        return lambda: None

    def read() -> Reading | None:
        with contextlib.suppress(nvml.NVMLError):  # drivers before 535 do not know the reasons by this name
            clock = nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)
            return Reading(clock, nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
        return None

    return read


def _handle(nvml: Any, uuid: str) -> Any:
    """NVML writes the prefix that torch leaves out."""
    return nvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")
