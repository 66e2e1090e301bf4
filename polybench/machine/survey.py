"""Everything the doctor knows of a machine, read in one go: a few seconds, one core."""

from __future__ import annotations

import time
from dataclasses import dataclass

from polybench.machine.container import Limits, limits
from polybench.machine.gpus import Gpus, gpus
from polybench.machine.hardware import Memory, Processor, load, memory, processor
from polybench.machine.probe import Probe, probe
from polybench.machine.software import Software, software
from polybench.machine.window import Window, change, ticks


@dataclass(frozen=True)
class Survey:
    """Facts alone, which `doctor.findings` judges."""

    processor: Processor
    memory: Memory
    limits: Limits
    load: tuple[float, ...]
    resting: Window  # while we slept: what others do
    working: Window  # while we kept one core busy: what is taken from us
    probe: Probe
    gpus: Gpus
    software: Software


def survey(seconds: float = 4.0, with_gpu: bool = True) -> Survey:
    """Sleep for a quarter of `seconds` to see what others do, then probe the clocks for the rest.

    Raises ValueError when `seconds` is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"{seconds} s is no time to measure in")
    cards = gpus() if with_gpu else Gpus(missing="not looked at")  # before anything here could disturb them
    first = ticks()
    time.sleep(seconds / 4)
    second = ticks()
    seen = probe(3 * seconds / 4)
    third = ticks()
    return Survey(
        processor=processor(),
        memory=memory(),
        limits=limits(),
        load=load(),
        resting=change(first, second),
        working=change(second, third),
        probe=seen,
        gpus=cards,
        software=software(),
    )
