"""What a container allows: the processor quota and the memory limit of control groups, version 1 and 2.

A limit may stand on the group of this process or on any group above it, so all are read and the tightest counts.
Files: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, scheduler/sched-bwc.rst of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polybench.machine.hardware import text

_NO_LIMIT = 1 << 60  # version 1 writes "no limit" as the largest number of whole pages


@dataclass(frozen=True)
class Limits:
    """Limits of the container; None where there is none."""

    quota: float | None = None  # processors' worth of time
    memory: int | None = None  # bytes
    memory_used: int | None = None  # bytes that count against it and cannot simply be dropped
    throttled: int = 0  # periods in which the quota stopped the group, since it was made


def limits(root: Path = Path("/")) -> Limits:
    """The limits as the files under `root` describe them."""
    quotas, stopped = [], 0
    for group in _groups(root, "cpu"):
        quota = _quota(group)
        if quota is not None:
            quotas.append(quota)
            stopped = max(stopped, _stat(group / "cpu.stat").get("nr_throttled", 0))
    found = []
    for group in _groups(root, "memory"):
        most = _number(group / "memory.max") or _number(group / "memory.limit_in_bytes")
        if most is not None and most < _NO_LIMIT:
            found.append((most, _used(group)))
    most, used = min(found, default=(None, None), key=lambda pair: pair[0])
    return Limits(min(quotas, default=None), most, used, stopped)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it, in whichever hierarchy has the controller.

    In a container the path that the kernel names may lie outside what is mounted; the mount's root is then ours.
    """
    mount = root / "sys/fs/cgroup"
    for line in text(root / "proc/self/cgroup").splitlines():
        _, names, path = (*line.split(":", 2), "", "")[:3]
        if names and controller not in names.split(","):
            continue
        for base in (mount / controller, mount / names) if names else (mount, mount / "unified"):
            if base.is_dir():
                own = base / path.strip("/")
                yield from (g for g in (own, *own.parents) if g.is_relative_to(base) and g.is_dir())
                break


def _quota(group: Path) -> float | None:
    most, _, period = text(group / "cpu.max").partition(" ")
    if not most:
        most, period = text(group / "cpu.cfs_quota_us"), text(group / "cpu.cfs_period_us")
    return int(most) / int(period) if most.isdigit() and period.isdigit() and int(period) else None


def _used(group: Path) -> int | None:
    """Memory in use less the page cache that the kernel drops first."""
    used = _number(group / "memory.current") or _number(group / "memory.usage_in_bytes")
    stat = _stat(group / "memory.stat")
    cache = stat.get("total_inactive_file", stat.get("inactive_file", 0))
    return None if used is None else max(0, used - cache)


def _stat(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in text(path).splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}


def _number(path: Path) -> int | None:
    found = text(path)
    return int(found) if found.isdigit() else None
