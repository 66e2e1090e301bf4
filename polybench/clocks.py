"""Did the GPU run at its clock? Readings beside each sample, and which samples they condemn."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Bits of NVML's clocks event reasons (nvml.h, nvmlClocksEventReason*) that slow nothing that was asked
# for: nothing runs, and a clock that somebody set. At the power limit a card may be for good: an H200 is whenever it
# multiplies matrices in bfloat16, at 90 to 95 % of its clock, so there the clock alone decides. Every other reason
# is a throttle.
IDLE, SETTING, POWER_LIMIT = 0x1, 0x2, 0x4
_HARMLESS = IDLE | SETTING | POWER_LIMIT
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
    """For each sample: a throttle reason was active beside it, or its clock was well below the run's median.

    A sample's clock is the lowest read beside it while the device was busy. Samples without a reading
    are kept: what cannot be seen is no reason to discard.
    """
    lowest = [min((r.sm_mhz for r in pair if r and r.busy), default=None) for pair in pairs]
    known = [clock for clock in lowest if clock is not None]
    floor = SHARE * statistics.median(known) if known else 0.0
    return [
        any(r.reasons & ~_HARMLESS for r in pair if r) or (clock is not None and clock < floor)
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
