"""Traces: what a profiler sees of a few calls of each arm, once nothing is timed any more."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from polybench.errors import as_error
from polybench.kind import Item, Measured, axes_of, kind_of
from polybench.measure.instruments.workshop import Arm
from polybench.record import TRACE_ENDING, TRACE_FOLDER, Artifact
from polybench.trial import Cell, Trial

CALLS = 5  # of forward and backward in a trace
_LONGEST = 150  # characters of a name


def traces(trials: Sequence[Trial], arms: Mapping[int, Arm], device: str) -> Iterator[tuple[int, Item]]:
    """A trace of every arm but the reference's second copy; one that fails takes nothing of the times."""
    chosen = {i: arm for i, arm in arms.items() if not trials[i].control}
    for i in arms:
        yield i, Measured("profile")
    for i, arm in chosen.items():
        try:
            item: Item = Artifact(f"{TRACE_FOLDER}/{name(trials[i])}{TRACE_ENDING}", trace(arm, device))
        except BaseException as problem:
            item = as_error(problem)
        yield i, item


def trace(arm: Arm, device: str) -> bytes:
    """Chrome's trace format, gzipped: operators with shapes, allocations, and on a GPU its kernels.

    Steps are called as torch.profiler calls them, so that its TensorBoard plug-in finds them.
    torch.profiler itself would be the same profiler behind seconds of imports.
    """
    profiler = torch.autograd.profiler
    arm.once()  # what the timing left cold, or a first call makes, stays out
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronise()
    recording = profiler.profile(
        use_kineto=True, use_device="cuda" if device == "cuda" else None, record_shapes=True, profile_memory=True
    )
    with recording:
        for step in range(CALLS):
            with profiler.record_function(f"ProfilerStep#{step}"):
                with profiler.record_function("forward"):
                    output = arm.forward()
                    synchronise()
                with profiler.record_function("backward"):
                    gradients = torch.autograd.grad(output, arm.inputs, arm.gradient)
                    synchronise()
                del output, gradients
    with tempfile.TemporaryDirectory(prefix="polybench-") as folder:
        path = Path(folder) / "trace.json"
        recording.export_chrome_trace(str(path))  # a profile can be exported only once
        return gzip.compress(path.read_bytes(), mtime=0)


def name(trial: Trial) -> str:
    """`speed-polynorm-eager-float32-block-d_model=256-tokens=1024`: axes at their defaults are left out.

    No dot, because the plug-in takes `.digits` at the end for the time of a span.
    """
    cell = trial.cell
    axes = "-".join(_axes(cell))
    text = "-".join((trial.benchmark, cell.activation, cell.backend, cell.dtype, axes))
    safe = re.sub(r"[^A-Za-z0-9_=+-]+", "-", text.replace(".", "_").replace(")", "")).strip("-")
    return safe if len(safe) <= _LONGEST else f"{safe[:_LONGEST]}-{cell.id}"


def _axes(cell: Cell) -> list[str]:
    usual = dict(axes_of(kind_of(cell.kind), {}))
    others = [f"{key}={value}" for key, value in cell.axes if key != "level" and value != usual.get(key)]
    return [str(value) for key, value in cell.axes if key == "level"] + others
