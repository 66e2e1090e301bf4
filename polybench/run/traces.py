"""What a trace holds, added up: time and memory by operator. Reads the files with no torch."""

from __future__ import annotations

import bisect
import gzip
import json
import statistics
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from polybench.errors import ResultsError, first_line

MOST_BYTES = 256 << 20  # of an unpacked trace
OUTSIDE = "outside of operators"
_MEMORY = "[memory]"
_KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
_GPU = 1  # "Device Type" of CUDA memory; the CPU's is 0
_US = 1e-6  # times of a trace are in microseconds


@dataclass
class Operator:
    """One operator or kernel, added up over the trace. What it calls of its own name is no call of its own."""

    name: str
    self_s: list[float]  # in each step, without the time of what it calls
    total_s: list[float]  # in each step
    calls: int = 0
    allocated: int = 0  # bytes, while no operator within was running

    @property
    def own(self) -> float:
        """Median seconds of a step, since one step that the system interrupts says nothing of the operator."""
        return statistics.median(self.self_s)


@dataclass(frozen=True)
class Profile:
    """A trace of `steps` calls. `peak` is what was alive at once, above what was alive before; bytes."""

    steps: int
    operators: tuple[Operator, ...]  # most time of their own first
    kernels: tuple[Operator, ...] = ()
    allocations: int = 0
    allocated: int = 0
    freed: int = 0
    peak: int = 0


def read(path: Path) -> Profile:
    """The profile in a file. Raises ResultsError when it is missing, damaged or too large."""
    if not path.is_file():
        raise ResultsError(f"{path} is missing")
    try:
        with gzip.open(path) as file:
            text = file.read(MOST_BYTES + 1)  # a small file may unpack without end
        if len(text) > MOST_BYTES:
            raise ResultsError(f"{path} unpacks to more than {MOST_BYTES >> 20} MiB")
        return summarise(json.loads(text)["traceEvents"])
    except (
        OSError,
        EOFError,
        zlib.error,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as problem:
        raise ResultsError(f"{path} is damaged: {first_line(problem)}") from None
    except ArithmeticError:
        raise ResultsError(f"{path} is damaged: it has times or sizes beyond all numbers") from None


def summarise(events: Iterable[dict[str, Any]]) -> Profile:
    """Add up the events of a trace, as Chrome's trace format and torch's profiler lay them down."""
    every = list(events)
    memory = [e for e in every if e.get("name") == _MEMORY]
    if any(e["args"]["Device Type"] == _GPU for e in memory):
        memory = [e for e in memory if e["args"]["Device Type"] == _GPU]
    starts = sorted(e["ts"] for e in every if _is_step(e))
    operators = _Sum(starts)
    _add_calls(operators, [e for e in every if e.get("cat") == "cpu_op" and e.get("ph") == "X"], memory)
    kernels = _Sum(starts)
    for event in every:
        if event.get("cat") in _KERNELS and event.get("ph") == "X":
            kernels.add(_Open(event["name"], event["ts"], event["dur"]))
    alive = peak = 0
    sizes = [int(e["args"]["Bytes"]) for e in sorted(memory, key=itemgetter("ts"))]
    for size in sizes:
        alive += size
        peak = max(peak, alive)
    return Profile(
        steps=max(1, len(starts)),
        operators=operators.by_time(),
        kernels=kernels.by_time(),
        allocations=sum(size > 0 for size in sizes),
        allocated=sum(size for size in sizes if size > 0),
        freed=-sum(size for size in sizes if size < 0),
        peak=peak,
    )


@dataclass
class _Open:
    """A call that has begun, in microseconds; `inner` is the time of what it called so far."""

    name: str
    start: float
    dur: float
    inner: float = 0.0
    nested: bool = False  # within another call of the same operator


class _Sum:
    """Operators by name, their times by the step in which they began."""

    def __init__(self, starts: list[float]):
        self.starts = starts
        self.operators: dict[str, Operator] = {}

    def of(self, name: str) -> Operator:
        steps = max(1, len(self.starts))
        return self.operators.setdefault(name, Operator(name, [0.0] * steps, [0.0] * steps))

    def add(self, call: _Open) -> None:
        operator = self.of(call.name)
        step = max(0, bisect.bisect_right(self.starts, call.start) - 1)
        operator.calls += not call.nested
        operator.self_s[step] += max(0.0, call.dur - call.inner) * _US
        operator.total_s[step] += 0.0 if call.nested else call.dur * _US

    def by_time(self) -> tuple[Operator, ...]:
        used = (o for o in self.operators.values() if o.calls or o.allocated)
        return tuple(sorted(used, key=lambda o: (-o.own, o.name)))


def _add_calls(operators: _Sum, calls: list[dict[str, Any]], memory: list[dict[str, Any]]) -> None:
    """What begins before another ends, on the same thread, was called by it."""
    threads: dict[object, list[_Open]] = {}
    # Of what begins at one time the longest is outermost; an allocation then belongs to the innermost.
    for event in sorted([*calls, *memory], key=lambda e: (e["ts"], -e.get("dur", -1.0))):
        stack = threads.setdefault((event["pid"], event["tid"]), [])
        while stack and stack[-1].start + stack[-1].dur <= event["ts"]:
            operators.add(stack.pop())
        if event["name"] == _MEMORY:
            operators.of(stack[-1].name if stack else OUTSIDE).allocated += max(0, int(event["args"]["Bytes"]))
            continue
        name, dur = str(event["name"]), float(event["dur"])
        if stack:
            stack[-1].inner += dur
        stack.append(_Open(name, event["ts"], dur, nested=any(o.name == name for o in stack)))
    for stack in threads.values():
        while stack:
            operators.add(stack.pop())


def _is_step(event: dict[str, Any]) -> bool:
    return event.get("cat") == "user_annotation" and str(event.get("name")).startswith("ProfilerStep#")
