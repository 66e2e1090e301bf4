"""How near fused activations come to a copy, from a run of suites/kernels.yaml: `python kernels.py RUN > kernels.md`.

Printed are the share of the limit against the hidden width by every backend, how many times as fast as eager and
compiled the fused one is, and the goals with what was reached. Backends have launches of their own, which take turns,
so a ratio of two is that of launches seconds apart; intervals are of 98 %, over launches.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from polybench.compare.limits import Limit, limits
from polybench.compare.points import Point, points
from polybench.measure.speed_metrics import BACKWARD, FORWARD, TOTAL
from polybench.run import store
from polybench.stats import Estimate, of_launches

BRANCHES_OF_D_MODEL = 4  # hidden widths of an activation of one branch
ORDER = ("eager", "compile", "fused")


@dataclass(frozen=True)
class Goal:
    """The least of what the fused activation is to reach in a type: times eager's speed, compile's, and of the copy."""

    activation: str
    dtype: str
    over_eager: float | None
    over_compile: float | None
    share: float | None


GOALS = (
    Goal("polynorm", "float32", 20, 2.2, 0.80),
    Goal("polynorm", "bfloat16", 18, 2.5, 0.60),
    Goal("polyrelu", "float32", None, 1.6, 0.90),
    Goal("polyrelu", "bfloat16", None, 1.6, 0.75),
    *(Goal(name, "float32", None, None, 0.85) for name in ("swiglu", "geglu", "swiglu_clamped", "gated_polynorm")),
)
MOST_OVER_RELU_S = 5e-6  # of a small call, forward and backward each


def main(folder: Path) -> None:
    run = store.load(folder)
    every = [p for p in points(run) if not p.control and p.ok()]
    shares = {(p.benchmark, p.cell): limit for limit in limits(every) for p in [limit.point]}
    print(f"# Fused activations beside a copy\n\n{run.environment['cpu']}, {run.environment['cores']} cores, "
          f"{run.environment['compiler']}, torch {run.environment['torch']}.\n")  # fmt: skip
    print("## Share of the limit\n")
    for line in by_width(shares):
        print(line)
    print("\n## Times as fast\n")
    for line in speedups(every):
        print(line)
    print("\n## Goals\n")
    for line in goals(every, shares):
        print(line)
    for line in small(every):
        print(line)


def by_width(shares: dict[tuple[str, object], Limit]) -> Iterator[str]:
    """A table a benchmark: a row for each activation, type, threads and backend; a column for each shape."""
    for benchmark in dict.fromkeys(benchmark for benchmark, _ in shares):
        own = [limit for (b, _), limit in shares.items() if b == benchmark]
        shapes = sorted({shape(limit.point) for limit in own})
        yield f"\n`{benchmark}`, hidden width x rows of one branch\n"
        yield "| activation | type | backend | " + " | ".join(f"{w} x {n}" for w, n in shapes) + " |"
        yield "|---|---|---|" + "---:|" * len(shapes)
        for name, dtype, backend in sorted({kind(limit.point) for limit in own}, key=lambda k: (*k[:2], rank(k[2]))):
            told = {shape(limit.point): limit.share for limit in own if kind(limit.point) == (name, dtype, backend)}
            yield f"| {name} | {dtype} | {backend} | " + " | ".join(words(told.get(s)) for s in shapes) + " |"


def speedups(every: list[Point]) -> Iterator[str]:
    heads = "over eager | over compile | forward over eager | backward over eager"
    yield f"| benchmark | activation | type | width x rows | {heads} |"
    yield "|---|---|---|---|---:|---:|---:|---:|"
    for point in every:
        if point.cell.backend == "fused":
            width, rows = shape(point)
            told = [
                words(faster(every, point, backend, metric))
                for backend, metric in (
                    ("eager", TOTAL.name), ("compile", TOTAL.name), ("eager", FORWARD.name), ("eager", BACKWARD.name)
                )
            ]  # fmt: skip
            place = f"| {point.benchmark} | {point.cell.activation} | {point.cell.dtype} | {width} x {rows} | "
            yield place + " | ".join(told) + " |"


def goals(every: list[Point], shares: dict[tuple[str, object], Limit]) -> Iterator[str]:
    """The worst of all shapes and of the best, since a goal names none."""
    yield "| activation | type | what | goal | reached, least | reached, most | |"
    yield "|---|---|---|---:|---:|---:|---|"
    for goal in GOALS:
        own = [p for p in every if kind(p) == (goal.activation, goal.dtype, "fused") and p.benchmark != "small"]
        found = {
            "times eager's speed": (goal.over_eager, [faster(every, p, "eager", TOTAL.name) for p in own]),
            "times compile's speed": (goal.over_compile, [faster(every, p, "compile", TOTAL.name) for p in own]),
            "share of a copy": (goal.share, [s.share for p in own if (s := shares.get((p.benchmark, p.cell)))]),
        }
        for what, (least, values) in found.items():
            told = sorted((v for v in values if v), key=lambda estimate: estimate.value)
            if least is not None and told:
                verdict = "reached" if told[0].value >= least else "in part" if told[-1].value >= least else "missed"
                place = f"| {goal.activation} | {goal.dtype} | {what} | {least} | "
                yield place + f"{words(told[0])} | {words(told[-1])} | {verdict} |"


def small(every: list[Point]) -> Iterator[str]:
    """Microseconds over eager ReLU, launch by launch."""
    few = [p for p in every if p.benchmark == "small"]
    relu = next((p for p in few if p.cell.activation == "relu" and p.cell.backend == "eager"), None)
    for point in few:
        if relu and point.cell.backend == "fused":
            for metric in (FORWARD.name, BACKWARD.name):
                pairs = zip(samples(point, metric), samples(relu, metric), strict=False)
                over = of_launches([[a - b for a, b in zip(*pair, strict=False)] for pair in pairs]).map(
                    lambda s: 1e6 * s
                )
                verdict = "reached" if over.value <= 1e6 * MOST_OVER_RELU_S else "missed"
                name = f"| {point.cell.activation} | {point.cell.dtype} | {metric} of 64 rows over eager ReLU's, us | "
                yield f"{name}at most {1e6 * MOST_OVER_RELU_S:g} | {words(over)} | {words(over)} | {verdict} |"


def faster(every: list[Point], point: Point, backend: str, metric: str) -> Estimate | None:
    """How many times as long another backend takes, launch by launch; None where it was not measured."""
    other = next((p for p in every if p.benchmark == point.benchmark and kind(p) == (*kind(point)[:2], backend)
                  and p.cell.axes == point.cell.axes), None)  # fmt: skip
    if other is None:
        return None
    pairs = zip(samples(other, metric), samples(point, metric), strict=False)
    return of_launches([[math.log(a / b) for a, b in zip(*pair, strict=False)] for pair in pairs]).map(math.exp)


def samples(point: Point, metric: str) -> list[list[float]]:
    """Seconds, a list a launch."""
    return [list(found.values) for record in point.ok() if (found := record.get(metric))]


def kind(point: Point) -> tuple[str, str, str]:
    return point.cell.activation, point.cell.dtype, point.cell.backend


def shape(point: Point) -> tuple[int, int]:
    axes = dict(point.cell.axes)
    return BRANCHES_OF_D_MODEL * int(axes["d_model"]), int(axes["tokens"])


def rank(backend: str) -> int:
    return ORDER.index(backend) if backend in ORDER else len(ORDER)


def words(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
