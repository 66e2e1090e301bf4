"""What a run records of its machine, and what makes the times of two runs comparable."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from polybench.errors import UsageError
from polybench.machine.container import Limits, limits
from polybench.machine.gpus import NO_DRIVER, Gpus, gpus
from polybench.machine.hardware import Memory, affinity, load, memory, processor, ranges
from polybench.machine.software import code_hash, installed, plugin_hash, revision, software, version
from polybench.saying import say

__all__ = [
    "capture",
    "choose_device",
    "code_hash",
    "cores",
    "differences",
    "fingerprint",
    "identity",
    "nickname",
    "plugin_hash",
    "room",
    "together",
    "unrecorded",
    "version",
]

GIB = 1024**3

# Times are compared between runs only when all of these agree. Which processors a scheduler deals out and which
# container a job lands in change from run to run, so their number and their limits count and not their names.
FINGERPRINT = {
    "processor": ("cpu", "cores", "governor", "boost", "smt"),
    "memory": ("memory_GiB", "huge_pages"),
    "limits": ("cpu_quota", "memory_limit_GiB"),
    "gpu": ("gpus", "driver", "gpu_power_limit_W", "gpu_application_MHz", "gpu_mig", "gpu_ecc"),
    "software": ("python", "torch", "polybench", "compiler", "variables"),
}
_LONGEST_NAME = 40  # letters of a machine's name before its fingerprint
# What every run has ever recorded: one without it is no match. The other fields came later.
_ALWAYS = {"cpu", "cores", "governor", "memory_GiB", "gpus", "driver", "python", "torch", "polybench"}


def capture() -> dict[str, Any]:
    """The machine and the software as they are now, as JSON."""
    here, main, allowed, cards, tools = processor(), memory(), limits(), gpus(), software()
    return {
        "cpu": here.name,
        "cores": _cores(len(here.affinity), allowed),
        "affinity": ranges(here.affinity),
        "governor": here.governor,
        "boost": here.boost,
        "smt": here.smt,
        "virtual": here.virtual,
        "clock_source": here.clock_source,
        "memory_GiB": round(main.total / GIB),
        "memory_free_GiB": round(room(main, allowed)[1] / GIB, 1),
        "swap_used_GiB": round(main.swap_used / GIB, 1),
        "huge_pages": main.huge_pages,
        "cpu_quota": allowed.quota,
        "memory_limit_GiB": None if allowed.memory is None else round(allowed.memory / GIB, 1),
        "load": list(load()),
        **_cards(cards),
        "system": tools.system,
        "host": socket.gethostname(),
        "python": ".".join(tools.python.split(".")[:2]),
        "torch": ".".join(tools.packages["torch"].split("+")[0].split(".")[:2]),
        "packages": dict(tools.packages),
        "compiler": tools.compiler,
        "compilers": dict(tools.compilers),
        "variables": dict(tools.variables),
        "polybench": version(),
        "code": code_hash(),
        "revision": revision(),
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Fields of the fingerprint that differ, as `group.field: a / b`; `unrecorded` fields cannot differ."""
    left_out = set(unrecorded(one, other))
    return [
        f"{name}: {one.get(field)} / {other.get(field)}"
        for name, field in _fields()
        if name not in left_out and one.get(field) != other.get(field)
    ]


def fingerprint(environment: Mapping[str, Any]) -> str:
    """Eight hex digits that two environments share when neither `differences` nor `unrecorded` fields part them."""
    found = {name: environment[field] for name, field in _fields() if field in environment}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:8]


def identity(environment: Mapping[str, Any]) -> dict[str, Any]:
    """What of an environment `differences` looks at."""
    return {field: environment[field] for _, field in _fields() if field in environment}


def nickname(environment: Mapping[str, Any]) -> str:
    """A machine as the name of a folder: what it computes on, how many of these, and the fingerprint."""
    cards, cores = environment.get("gpus") or [], environment.get("cores")
    what = f"{cards[0]} {len(cards)} gpus" if cards else f"{environment.get('cpu')} {cores} cores"
    plain = re.sub(r"[^a-z0-9]+", "-", what.lower().replace("(r)", "").replace("(tm)", "")).strip("-")
    return f"{plain[:_LONGEST_NAME]}-{fingerprint(environment)}"


def together(environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One description of several machines: the first's, with `a / b` in each field of the fingerprint that differs.

    So the times of such a run match those of no single machine.
    """
    found = dict(environments[0])
    for _, field in _fields():
        values: list[Any] = list({json.dumps(e.get(field)): e.get(field) for e in environments}.values())
        if len(values) > 1 and all(isinstance(v, list) for v in values):
            found[field] = [item for value in values for item in value]
        elif len(values) > 1:
            found[field] = " / ".join(map(str, values))
    return found


def unrecorded(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Fields of the fingerprint, as `group.field`, that one of two runs was made too early to record."""
    return [name for name, field in _fields() if field not in _ALWAYS and (field in one) != (field in other)]


def cores() -> int:
    """Cores this process may use, by affinity, container limit and, in a job of SLURM, what that was given."""
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")  # not every cluster holds a job to its share
    return min(_cores(len(affinity()), limits()), int(given) if given.isdecimal() and int(given) else sys.maxsize)


def choose_device(wanted: str) -> str:
    """`cpu` or `cuda`. Raises UsageError when a GPU is asked for and none can be used."""
    found = gpus()
    of_cpu = installed("torch").endswith("+cpu")
    usable = bool(found.usable) and not of_cpu
    if wanted == "cuda" and not usable:
        why = f" ({found.missing})" if found.missing else ""
        raise UsageError(f"device cuda: no NVIDIA GPU that this torch can use is visible here{why}; take --device cpu")
    if wanted == "auto" and found.missing not in ("", NO_DRIVER) and not of_cpu:
        _tell_once(f"device auto takes the CPU: {found.missing}")
    return ("cuda" if usable else "cpu") if wanted == "auto" else wanted


@cache
def _tell_once(line: str) -> None:
    say(line)


def room(main: Memory, allowed: Limits) -> tuple[int, int]:
    """Bytes of memory that this process may have at most, and those free now."""
    if allowed.memory is None or allowed.memory >= main.total:
        return main.total, main.free
    return allowed.memory, min(main.free, max(0, allowed.memory - (allowed.memory_used or 0)))


def _fields() -> Iterator[tuple[str, str]]:
    return ((f"{group}.{field}", field) for group, fields in FINGERPRINT.items() for field in fields)


def _cores(allowed: int, container: Limits) -> int:
    return allowed if container.quota is None else min(allowed, max(1, int(container.quota)))


def _cards(found: Gpus) -> dict[str, Any]:
    """The visible GPUs: what is fixed field by field, what changes from moment to moment as `gpu_state`."""
    cards = found.usable
    moving = ("uuid", "memory_used", "busy", "sm", "memory_clock", "throttled", "temperature_C", "power_W")
    return {
        "gpus": [g.name for g in cards],
        "driver": found.driver.partition(".")[0],
        "gpu_power_limit_W": [g.power_limit_W for g in cards],
        "gpu_application_MHz": [[g.sm.application, g.memory_clock.application] for g in cards],
        "gpu_mig": [g.mig for g in cards],
        "gpu_ecc": [g.ecc for g in cards],
        "gpu_state": [
            {k: v for k, v in asdict(g).items() if k in moving} | {"other_processes": len(g.processes)} for g in cards
        ],
    }
