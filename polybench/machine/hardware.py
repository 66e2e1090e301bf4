"""The processor and the memory of this machine, read from the system's own files; nothing is set."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"  # the system does not say, which is usual in containers and virtual machines


@dataclass(frozen=True)
class Processor:
    """What decides how fast and how evenly one thread runs."""

    name: str
    present: int  # logical processors of the machine
    affinity: tuple[int, ...]  # those that this process may run on
    physical: int  # physical cores among them
    governor: str  # scaling governor, several joined by commas
    boost: str  # turbo: on, off or unknown
    smt: str  # two threads a core: on, off or unknown
    virtual: bool  # under a hypervisor
    clock_source: str  # what the kernel reads the time from


@dataclass(frozen=True)
class Memory:
    """Bytes of the machine, not of the container, which has `Limits`."""

    total: int
    free: int  # available without swapping
    swap_total: int
    swap_used: int
    huge_pages: str  # transparent huge pages: always, madvise, never or unknown


def processor(root: Path = Path("/")) -> Processor:
    """The processor as the files under `root` describe it."""
    cpu = root / "sys/devices/system/cpu"
    info = text(root / "proc/cpuinfo")
    allowed = affinity()
    governors = {text(cpu / f"cpu{i}/cpufreq/scaling_governor") for i in allowed} - {""}
    cores = {text(cpu / f"cpu{i}/topology/thread_siblings_list") or str(i) for i in allowed}
    return Processor(
        name=_named(info),
        present=os.cpu_count() or len(allowed),
        affinity=allowed,
        physical=len(cores),
        governor=",".join(sorted(governors)) or UNKNOWN,
        boost=_boost(cpu),
        smt={"0": "off", "1": "on"}.get(text(cpu / "smt/active"), UNKNOWN),
        virtual=any(line.startswith("flags") and " hypervisor" in line for line in info.splitlines()),
        clock_source=text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource") or UNKNOWN,
    )


def memory(root: Path = Path("/")) -> Memory:
    """The memory of the machine now."""
    import psutil

    main, swap = psutil.virtual_memory(), psutil.swap_memory()
    setting = text(root / "sys/kernel/mm/transparent_hugepage/enabled")  # such as `always [madvise] never`
    chosen = setting.partition("[")[2].partition("]")[0]
    return Memory(main.total, main.available, swap.total, swap.used, chosen or UNKNOWN)


def affinity() -> tuple[int, ...]:
    """Logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def load() -> tuple[float, ...]:
    """Load averages of 1, 5 and 15 minutes; nothing where the system has none."""
    return tuple(round(x, 2) for x in os.getloadavg()) if hasattr(os, "getloadavg") else ()


def ranges(numbers: tuple[int, ...]) -> str:
    """`0-3,6` for 0, 1, 2, 3 and 6."""
    parts: list[list[int]] = []
    for n in sorted(numbers):
        if parts and n == parts[-1][-1] + 1:
            parts[-1].append(n)
        else:
            parts.append([n])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def text(path: Path) -> str:
    """What a file holds, stripped; nothing when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _named(info: str) -> str:
    for line in info.splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _boost(cpu: Path) -> str:
    """`no_turbo` is Intel's switch and means the opposite of `boost`, which other drivers have."""
    intel = {"0": "on", "1": "off"}.get(text(cpu / "intel_pstate/no_turbo"))
    return intel or {"0": "off", "1": "on"}.get(text(cpu / "cpufreq/boost"), UNKNOWN)
