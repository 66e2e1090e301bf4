"""A kind that trains nothing: it leaves processes behind, holds Python still, or takes memory without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from polybench.trial import Cell, Job, Trial

SOURCE = r'''
import ctypes, os, resource, signal, subprocess, sys
from pydantic import Field
from polybench.kind import Axes, Fact, Protocol
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import kinds

class StrayAxes(Axes):
    how: str = Field("well", description="what goes wrong")

SCORE = Metric("score", "1", "lower", "nothing", "One.")

def told(*pids):
    with open(os.environ["STRAYS"], "a") as file:
        file.write("".join(f"{pid}\n" for pid in pids))

def leave(and_then=signal.pause):
    """A process in a session of its own that has all that this one has open."""
    if pid := os.fork():
        return pid
    os.setsid()
    and_then()
    os._exit(0)

def daemon():
    told(leave())

def hog():
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), resource.RLIM_INFINITY))
    taken = []
    while True:
        taken.append(bytearray(1 << 20))

def abort():
    print("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc", file=sys.stderr)
    os.abort()

@kinds.register("stray", axes=StrayAxes, protocol=Protocol, metrics=(SCORE,), version=1, repeats="once",
                seconds=lambda axes, protocol: 1.0)
def stray(trials, axes, protocol):
    """Goes wrong."""
    how = axes.how
    if how == "child":
        told(leave())
    elif how == "orphan":
        os.waitpid(leave(daemon), 0)
    elif how == "stranger":
        told(subprocess.Popen(["sleep", "1000"], env={}, start_new_session=True).pid)
    elif how == "crash":
        told(leave())
        os._exit(7)
    elif how == "still":
        told(os.getpid())
        ctypes.PyDLL(None).pause()
    elif how == "hog":
        hog()
    elif how == "abort":
        abort()
    if how in ("child", "orphan", "stranger"):
        signal.pause()
    if how == "leaves":
        told(leave())
    with open("/proc/self/oom_score_adj") as file:
        yield 0, Fact("first", file.read().strip())
    yield 0, Measurement("score", (1.0,))
'''


def install(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Put the package where workers find it; the file in which they name the processes they leave behind."""
    (folder / "polybench_strays.py").write_text(SOURCE, encoding="utf-8")
    info = folder / "polybench_strays-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: polybench-strays\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[polybench]\nstrays = polybench_strays\n", encoding="utf-8")
    root = str(Path(__file__).parent.parent)
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), root, os.environ.get("PYTHONPATH")])))
    patch.setenv("STRAYS", str(folder / "pids"))
    return folder / "pids"


def job(how: str = "well", timeout_s: float = 600.0) -> Job:
    cell = Cell("stray", 1, "relu", "eager", "cpu", "float32", (("how", how),))
    return Job((Trial("test", cell, 0),), (), timeout_s)
