"""What a trace holds, added up: time and memory by operator. Reads the files with no torch."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from polybench.errors import ResultsError

FOLDER, SUFFIX = "traces", ".pt.trace.json.gz"
OUTSIDE = "outside of operators"
_MEMORY = "[memory]"
_KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
_GPU = 1  # "Device Type" of CUDA memory; the CPU's is 0
_US = 1e-6  # times of a trace are in microseconds


@dataclass
class Operator:
    """One operator or kernel, added up over the trace. What it calls of its own name is no call of its own."""

    name: str
    calls: int = 0
    self_s: float = 0.0  # without the time of what it calls
    total_s: float = 0.0
    allocated: int = 0  # bytes, while no operator within was running


@dataclass(frozen=True)
class Profile:
    """A trace of `steps` calls. `peak` is what was alive at once, above what was alive before; bytes."""

    steps: int
    operators: tuple[Operator, ...]  # most self time first
    kernels: tuple[Operator, ...] = ()
    allocations: int = 0
    allocated: int = 0
    freed: int = 0
    peak: int = 0


def read(path: Path) -> Profile:
    """The profile in a file. Raises ResultsError when it is missing or damaged."""
    try:
        with gzip.open(path) as file:
            return summarise(json.load(file)["traceEvents"])
    except FileNotFoundError:
        raise ResultsError(f"{path} is missing") from None
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ResultsError(f"{path} is damaged") from None


def summarise(events: Iterable[dict[str, Any]]) -> Profile:
    """Add up the events of a trace, as Chrome's trace format and torch's profiler lay them down."""
    found = list(events)
    memory = [e for e in found if e.get("name") == _MEMORY]
    if any(e["args"]["Device Type"] == _GPU for e in memory):
        memory = [e for e in memory if e["args"]["Device Type"] == _GPU]
    operators = _operators([e for e in found if e.get("cat") == "cpu_op" and e.get("ph") == "X"], memory)
    kernels: dict[str, Operator] = {}
    for event in found:
        if event.get("cat") in _KERNELS and event.get("ph") == "X":
            kernel = kernels.setdefault(event["name"], Operator(event["name"]))
            kernel.calls += 1
            kernel.self_s += event["dur"] * _US
    alive = peak = 0
    sizes = [int(e["args"]["Bytes"]) for e in sorted(memory, key=itemgetter("ts"))]
    for size in sizes:
        alive += size
        peak = max(peak, alive)
    return Profile(
        steps=max(1, sum(_is_step(e) for e in found)),
        operators=_by_time(operators.values()),
        kernels=_by_time(kernels.values()),
        allocations=sum(size > 0 for size in sizes),
        allocated=sum(size for size in sizes if size > 0),
        freed=-sum(size for size in sizes if size < 0),
        peak=peak,
    )


@dataclass
class _Open:
    """An operator that has begun: the time of what it called so far is not its own."""

    name: str
    end: float
    dur: float
    inner: float = 0.0
    nested: bool = False  # within another call of the same operator


def _operators(calls: list[dict[str, Any]], memory: list[dict[str, Any]]) -> dict[str, Operator]:
    """Operators by name. What begins before another ends, on the same thread, was called by it."""
    found: dict[str, Operator] = {}
    threads: dict[object, list[_Open]] = {}

    def close(call: _Open) -> None:
        operator = found.setdefault(call.name, Operator(call.name))
        operator.calls += not call.nested
        operator.self_s += max(0.0, call.dur - call.inner) * _US
        operator.total_s += 0.0 if call.nested else call.dur * _US

    # Of what begins at one time the longest is outermost; an allocation then belongs to the innermost.
    for event in sorted([*calls, *memory], key=lambda e: (e["ts"], -e.get("dur", -1.0))):
        stack = threads.setdefault((event["pid"], event["tid"]), [])
        while stack and stack[-1].end <= event["ts"]:
            close(stack.pop())
        if event["name"] == _MEMORY:
            name = stack[-1].name if stack else OUTSIDE
            found.setdefault(name, Operator(name)).allocated += max(0, int(event["args"]["Bytes"]))
            continue
        name, dur = str(event["name"]), float(event["dur"])
        if stack:
            stack[-1].inner += dur
        stack.append(_Open(name, event["ts"] + dur, dur, nested=any(o.name == name for o in stack)))
    for stack in threads.values():
        while stack:
            close(stack.pop())
    return {name: o for name, o in found.items() if o.calls or o.allocated}


def _is_step(event: dict[str, Any]) -> bool:
    return event.get("cat") == "user_annotation" and str(event.get("name")).startswith("ProfilerStep#")


def _by_time(operators: Iterable[Operator]) -> tuple[Operator, ...]:
    return tuple(sorted(operators, key=lambda o: (-o.self_s, o.name)))
