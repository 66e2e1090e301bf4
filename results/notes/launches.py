"""Why launches differ: one cell in launches that are started in several ways, taken in turns.

    python results/notes/launches.py [--cell quick|large|block|small] [--launches 12] [--calls 120]

A launch's ratio is that of the lower quartiles of its calls, which other work on the machine moves least. The calls of
a launch are parted in two, every second one: how far the halves differ says what chance explains. What medians of
launches differ by beyond that is the spread of launches. "The same again" makes nothing anew, so its spread is that of
time alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from typing import Any

from polybench.run.executor import worker_environment

ARMS = ("swiglu", "swiglu", "relu", "gelu", "geglu", "polynorm")  # the second is the A/A copy
CELLS = {
    "quick": {"level": "activation", "tokens": 1024, "d_model": 128},
    "large": {"level": "activation", "tokens": 2048, "d_model": 256},
    "block": {"level": "block", "tokens": 512, "d_model": 256},
    "small": {"level": "activation", "tokens": 128, "d_model": 128},
}
OTHERS = range(1, len(ARMS))
WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(64 << 20)}
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
NO_ASLR = ("setarch", "-R")
MADE: list[Any] = []  # of this process: memory that is kept, workshop, arms


def calls_of(
    cell: str, seed: int, count: int, shift: bool = False, order: int | None = None, again: bool = False
) -> list[list[float]]:
    """Seconds of every call, by arm; `again` takes what the launch before has made."""
    import torch

    from polybench.measure.axes import LevelAxes
    from polybench.measure.instruments.timer import CpuTimer, wake
    from polybench.measure.instruments.workshop import Workshop, scattered
    from polybench.measure.model.build import chosen

    torch.set_num_threads(1)
    wake()
    draw = random.Random(seed if order is None else order)
    if not (again and MADE):
        MADE.clear()
        kept = scattered(seed) if shift else []
        workshop = Workshop(LevelAxes(**CELLS[cell]), "float32", "cpu")
        arms = {i: workshop.arm(chosen(ARMS[i])) for i in draw.sample(range(len(ARMS)), len(ARMS))}
        MADE.extend((kept, workshop, arms))
    arms, timer = MADE[2], CpuTimer(1)
    found: list[list[float]] = [[] for _ in ARMS]
    gc.disable()
    for call in range(count + 3):
        for i in draw.sample(range(len(ARMS)), len(ARMS)):
            sample = timer.sample(arms[i])
            if call >= 3:
                found[i].append(sample.total)
    gc.enable()
    return found


class Fresh:
    """A new process for each launch."""

    def __init__(self, prefix: tuple[str, ...] = (), extra: dict[str, str] | None = None, **options: object):
        self.prefix, self.options = prefix, options
        self.environment = worker_environment({**WARM, **(extra or {})})

    def launch(self, cell: str, seed: int, count: int) -> list[list[float]]:
        order = json.dumps({"cell": cell, "seed": seed, "count": count, **self.options})
        command = [*self.prefix, sys.executable, __file__, "--child"]
        done = subprocess.run(command, input=order, env=self.environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


class Server:
    """One process that has imported everything; `mode` says whether each launch is a fork of it, or only made anew."""

    def __init__(self, mode: str, **options: object):
        self.mode, self.options, self.process = mode, options, None

    def launch(self, cell: str, seed: int, count: int) -> list[list[float]]:
        if self.process is None:
            command = [sys.executable, __file__, "--serve", self.mode]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.process = subprocess.Popen(command, env=worker_environment(WARM), **pipes)
        self.process.stdin.write(json.dumps({"cell": cell, "seed": seed, "count": count, **self.options}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


WAYS = {
    "fresh process": Fresh(),
    "fresh, no ASLR": Fresh(NO_ASLR),
    "fresh, no ASLR, one order": Fresh(NO_ASLR, order=0),
    "fresh, huge pages": Fresh(extra=HUGE),
    "copy": Server("fork"),
    "copy, memory shuffled": Server("fork", shift=True),
    "made anew in one process": Server("again", shift=True),
    "the same again": Server("again", again=True),
}


def serve(mode: str) -> None:
    import polybench.measure.instruments.blocks
    import polybench.measure.instruments.workshop
    import polybench.measure.model.build  # noqa: F401

    for line in sys.stdin:
        if mode == "again":
            print(json.dumps(calls_of(**json.loads(line))), flush=True)
        elif (child := os.fork()) == 0:
            print(json.dumps(calls_of(**json.loads(line))), flush=True)
            os._exit(0)
        else:
            os.waitpid(child, 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cell", choices=CELLS, default="quick")
    parser.add_argument("--launches", type=int, default=12)
    parser.add_argument("--calls", type=int, default=120)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--save")
    given = parser.parse_args()
    found: dict[str, list[list[list[float]]]] = defaultdict(list)
    for seed in range(given.launches):
        ways = list(given.ways)
        random.Random(seed).shuffle(ways)
        for way in ways:
            found[way].append(WAYS[way].launch(given.cell, seed, given.calls))
        if given.save:
            with open(given.save, "w", encoding="utf-8") as file:
                json.dump(found, file)
    print(f"| {given.cell}: launches | spread beyond chance, % | of A/A, % | chance, % | largest of an arm, % |")
    print("|---|---:|---:|---:|---:|")
    for way in given.ways:
        arms = [spread([launch[i] for launch in found[way]], [launch[0] for launch in found[way]]) for i in OTHERS]
        beyond = [between for between, _ in arms]
        shown = (root(statistics.fmean(beyond[1:])), root(beyond[0]), root(statistics.fmean(w for _, w in arms)))
        print("|", way, "|", " | ".join(f"{100 * v:.1f}" for v in (*shown, root(max(beyond)))), "|", flush=True)


def spread(mine: list[list[float]], base: list[list[float]]) -> tuple[float, float]:
    """Variance of launches' log-ratios beyond chance, and that of chance."""
    halves = [
        [math.log(quartile(a[k::2]) / quartile(b[k::2])) for k in (0, 1)] for a, b in zip(mine, base, strict=True)
    ]
    chance = statistics.fmean((one - other) ** 2 for one, other in halves) / 4
    return statistics.variance([statistics.fmean(h) for h in halves]) - chance, chance


def quartile(values: list[float]) -> float:
    return statistics.quantiles(values, n=4)[0]


def root(variance: float) -> float:
    return math.sqrt(max(0.0, variance))


if __name__ == "__main__":
    if "--child" in sys.argv:
        print(json.dumps(calls_of(**json.loads(sys.stdin.read()))))
    elif "--serve" in sys.argv:
        serve(sys.argv[-1])
    else:
        main()
