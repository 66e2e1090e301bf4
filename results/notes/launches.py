"""Why launches differ: the same cell in launches that are started in several ways, taken in turns.

    python results/notes/launches.py [--cell quick|large|block] [--launches 16] [--blocks 15]

For each way of starting: how far medians of launches lie apart beside what their blocks explain (`excess`, a ratio of
variances, about 1 where a launch changes nothing), and the standard deviation that is left when blocks are taken off.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from functools import partial

from polybench.run.executor import worker_environment
from polybench.stats import launch_excess, variance_of_median

ARMS = ("swiglu", "swiglu", "relu", "gelu", "geglu", "polynorm")  # the second is the A/A copy
CELLS = {
    "quick": {"level": "activation", "tokens": 1024, "d_model": 128},
    "large": {"level": "activation", "tokens": 2048, "d_model": 256},
    "block": {"level": "block", "tokens": 512, "d_model": 256},
    "small": {"level": "activation", "tokens": 128, "d_model": 128},
}
WARM = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(64 << 20)}
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
NO_ASLR = ("setarch", "-R")


def blocks_of(cell: str, seed: int, count: int, shift: bool = False, order: int | None = None) -> list[list[float]]:
    """Log-ratios to the first arm, block by block, of every other arm."""
    import torch

    from polybench.measure.axes import LevelAxes
    from polybench.measure.instruments.blocks import Blocks, make_timer, without_gc
    from polybench.measure.instruments.timer import wake
    from polybench.measure.instruments.workshop import Workshop
    from polybench.measure.model.build import chosen

    torch.set_num_threads(1)
    wake()
    kept = padding(seed) if shift else []
    workshop = Workshop(LevelAxes(**CELLS[cell]), "float32", "cpu")
    blocks = Blocks(make_timer("cpu", 1), seed if order is None else order, 0.003)
    blocks.make({i: partial(workshop.arm, chosen(name)) for i, name in enumerate(ARMS)}, {})
    with without_gc():
        for _ in range(2):
            blocks.measure()
        blocks.forget()
        for _ in range(count):
            blocks.measure()
    del kept
    base = [s.total for s in blocks.samples[0]]
    return [[math.log(s.total / b) for s, b in zip(blocks.samples[i], base, strict=True)] for i in range(1, len(ARMS))]


def padding(seed: int) -> list[object]:
    """Memory of random sizes, every second piece of it given back, so that what follows lies elsewhere."""
    import torch

    draw = random.Random(seed)
    pieces = [torch.empty(int(2 ** draw.uniform(6, 21))) for _ in range(64)]
    return [p for p in pieces if draw.random() < 0.5]


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
    "fork": Server("fork"),
    "fork, heap shifted": Server("fork", shift=True),
    "fresh, one order": Fresh(order=0),
    "fresh, no ASLR": Fresh(NO_ASLR),
    "fresh, no ASLR, one order": Fresh(NO_ASLR, order=0),
    "fresh, huge pages": Fresh(extra=HUGE),
    "made anew in one process": Server("again"),
    "made anew, heap shifted": Server("again", shift=True),
}


def serve(mode: str) -> None:
    import polybench.measure.instruments.blocks
    import polybench.measure.instruments.workshop
    import polybench.measure.model.build  # noqa: F401

    for line in sys.stdin:
        if mode == "again":
            print(json.dumps(blocks_of(**json.loads(line))), flush=True)
        elif (child := os.fork()) == 0:
            print(json.dumps(blocks_of(**json.loads(line))), flush=True)
            os._exit(0)
        else:
            os.waitpid(child, 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cell", choices=CELLS, default="quick")
    parser.add_argument("--launches", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=15)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--save")
    given = parser.parse_args()
    found: dict[str, list[list[list[float]]]] = defaultdict(list)
    for seed in range(given.launches):
        ways = list(given.ways)
        random.Random(seed).shuffle(ways)
        for way in ways:
            found[way].append(WAYS[way].launch(given.cell, seed, given.blocks))
        if given.save:
            with open(given.save, "w", encoding="utf-8") as file:
                json.dump(found, file)
    print(f"| {given.cell}: way of starting | excess | launch sd beyond blocks, % | of A/A, % | sd of a block, % |")
    print("|---|---:|---:|---:|---:|")
    for way in given.ways:
        arms = [list(launches) for launches in zip(*found[way], strict=True)]
        beyond = [between(a) for a in arms]
        block = statistics.fmean(statistics.stdev(v) for a in arms for v in a)
        excess, sd, aa = launch_excess(arms) or 0, root(statistics.fmean(beyond[1:])), root(beyond[0])
        print(f"| {way} | {excess:.1f} | {100 * sd:.1f} | {100 * aa:.1f} | {100 * block:.1f} |", flush=True)


def between(launches: list[list[float]]) -> float:
    """Variance of medians of launches less what their blocks explain."""
    within = statistics.fmean(variance_of_median(v) for v in launches)
    return statistics.variance([statistics.median(v) for v in launches]) - within


def root(variance: float) -> float:
    return math.sqrt(max(0.0, variance))


if __name__ == "__main__":
    if "--child" in sys.argv:
        print(json.dumps(blocks_of(**json.loads(sys.stdin.read()))))
    elif "--serve" in sys.argv:
        serve(sys.argv[-1])
    else:
        main()
