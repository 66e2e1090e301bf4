"""The NVIDIA GPUs of this machine as their driver reports them now: read, never set.

Needs the optional package `nvidia-ml-py` (import name pynvml); each value that a device does not report is None.
Bits of the reasons for a lowered clock: nvmlClocksEventReasons in nvml.h of NVIDIA's NVML.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

REASONS = {
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
    0x100: "display clock setting",
}  # 0x1 is idle and 0x2 the clocks that someone chose: neither is a disturbance
NO_DRIVER = "there is no NVIDIA driver"


@dataclass(frozen=True)
class ClockRates:
    """MHz of one clock."""

    now: int | None
    most: int | None
    application: int | None  # chosen by an administrator; the default where nobody did


@dataclass(frozen=True)
class Gpu:
    """One device now."""

    index: int
    name: str
    uuid: str = ""
    visible: bool = True  # by CUDA_VISIBLE_DEVICES
    memory: int | None = None  # bytes
    memory_used: int | None = None  # bytes
    busy: float | None = None  # share of the last moments in which a kernel ran
    sm: ClockRates = ClockRates(None, None, None)
    memory_clock: ClockRates = ClockRates(None, None, None)
    throttled: tuple[str, ...] = ()
    processes: tuple[int, ...] = ()  # that compute on it, other than this one; a container may not see all
    temperature_C: int | None = None
    power_W: float | None = None
    power_limit_W: float | None = None
    persistence: bool | None = None
    mig: bool | None = None
    ecc: bool | None = None


@dataclass(frozen=True)
class Gpus:
    """Every device, and why there is none if there is none."""

    devices: tuple[Gpu, ...] = ()
    driver: str = ""
    missing: str = ""

    @property
    def usable(self) -> tuple[Gpu, ...]:
        return tuple(g for g in self.devices if g.visible)


def gpus() -> Gpus:
    """What the driver says now."""
    there = Path("/proc/driver/nvidia/version").exists()
    try:
        import pynvml
    except ImportError:
        return Gpus(missing="nvidia-ml-py is not installed: pip install 'torch-polybench[gpu]'" if there else NO_DRIVER)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as problem:
        return Gpus(missing=f"the NVIDIA driver cannot be asked: {problem}" if there else NO_DRIVER)
    try:
        found = tuple(_read(pynvml, i) for i in range(_ask(pynvml, pynvml.nvmlDeviceGetCount) or 0))
        driver = str(_ask(pynvml, pynvml.nvmlSystemGetDriverVersion) or "")
    finally:
        pynvml.nvmlShutdown()
    return Gpus(seen(found, os.environ), driver, "" if found else "the NVIDIA driver has no device")


def seen(devices: Sequence[Gpu], variables: Mapping[str, str]) -> tuple[Gpu, ...]:
    """The devices with `visible` as CUDA_VISIBLE_DEVICES has it: numbers or the beginnings of UUIDs.

    CUDA takes the list up to the first entry that names no device. A slice of a device, MIG-..., makes every device
    that is cut visible. Numbers are taken in the driver's order, as with CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    listed = variables.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return tuple(devices)
    chosen: set[int] = set()
    for word in (w.strip() for w in listed.split(",")):
        named = {
            d.index
            for d in devices
            if word == str(d.index)
            or (word.startswith("GPU-") and d.uuid.startswith(word))
            or (word.startswith("MIG-") and d.mig)
        }
        if not named:
            break
        chosen |= named
    return tuple(replace(d, visible=d.index in chosen) for d in devices)


def _read(nvml: Any, index: int) -> Gpu:
    device = _ask(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
    if device is None:
        return Gpu(index, "unreadable")

    def ask(what: str, *arguments: Any) -> Any:
        return _ask(nvml, getattr(nvml, f"nvmlDeviceGet{what}", None), device, *arguments)

    def clock(kind: int) -> ClockRates:
        return ClockRates(ask("ClockInfo", kind), ask("MaxClockInfo", kind), ask("ApplicationsClock", kind))

    memory, busy, mig, ecc = ask("MemoryInfo"), ask("UtilizationRates"), ask("MigMode"), ask("EccMode")
    power, limit, lasting = ask("PowerUsage"), ask("EnforcedPowerLimit"), ask("PersistenceMode")
    bits = ask("CurrentClocksThrottleReasons") or 0
    return Gpu(
        index=index,
        name=str(ask("Name") or "unnamed"),
        uuid=str(ask("UUID") or ""),
        memory=None if memory is None else int(memory.total),
        memory_used=None if memory is None else int(memory.used),
        busy=None if busy is None else busy.gpu / 100,
        sm=clock(nvml.NVML_CLOCK_SM),
        memory_clock=clock(nvml.NVML_CLOCK_MEM),
        throttled=tuple(word for bit, word in REASONS.items() if bits & bit),
        processes=tuple(sorted(p.pid for p in ask("ComputeRunningProcesses") or () if p.pid != os.getpid())),
        temperature_C=ask("Temperature", nvml.NVML_TEMPERATURE_GPU),
        power_W=None if power is None else power / 1000,
        power_limit_W=None if limit is None else limit / 1000,
        persistence=None if lasting is None else bool(lasting),
        mig=None if mig is None else bool(mig[0]),
        ecc=None if ecc is None else bool(ecc[0]),
    )


def _ask(nvml: Any, question: Any, *arguments: Any) -> Any:
    """The answer, or None where the driver or the device has none."""
    try:
        return question(*arguments) if question else None
    except nvml.NVMLError:
        return None
