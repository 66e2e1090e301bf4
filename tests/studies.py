"""Made-up records of a whole study of losses: tuned rates, fresh seeds, sources of spread, model sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from builders import changed, record, run, suite

from polybench.metric import Metric
from polybench.record import Record, Status
from polybench.run.store import Run

LOOKS = 8
FLOPS = Metric("flops_per_token", "1", "neither", "nothing", "Training FLOPs a token.")
WORTH = {"relu": 0.002, "swiglu": 0.0, "polynorm": -0.05}  # nats above swiglu's loss
COST = {"relu": 0.9, "swiglu": 1.0, "polynorm": 1.3}  # seconds a step over swiglu's
GRID = (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2)
BEST = {"relu": 2e-3, "swiglu": 4e-3, "polynorm": 8e-3}


def trained(benchmark: str, activation: str, seed: int, final: float, *, flops: float = 1.0, **axes: Any) -> Record:
    """One pretrain record that falls to `final`; `axes` may name some that this kind does not have yet."""
    curve = [final + math.exp(-0.9 * i) * 3.0 for i in range(LOOKS)]
    curve[-1] = final
    values: dict[str, Sequence[float]] = {
        "val_loss": [final], "bits_per_byte": [final / 2],
        "tokens_per_s": [5e3 / COST[activation] * (1 + wobble(activation, seed, 0.1))],
        "step_peak_bytes": [2e7 * COST[activation]], "val_curve": curve, "flops_per_token": [1e6 * flops],
        "parameters": [12.0 * float(axes.get("d_model", 64)) ** 2 * 2],
        "train_time": [COST[activation] * 10 * i * (1 + seed / 900) for i in range(LOOKS)],
    }  # fmt: skip
    one = record("pretrain", activation, values, seed=seed, steps=[25 * i for i in range(LOOKS)])
    return placed(one, benchmark, **axes)


def lost(benchmark: str, activation: str, seed: int, status: Status = Status.DIVERGED, **axes: Any) -> Record:
    return placed(
        record("pretrain", activation, seed=seed, status=status, error="the loss became nan"), benchmark, **axes
    )


def placed(one: Record, benchmark: str, **axes: Any) -> Record:
    cell = one.trial.cell
    moved = replace(cell, axes=tuple(sorted({**dict(cell.axes), **axes}.items())))
    return replace(one, trial=replace(one.trial, benchmark=benchmark, cell=moved))


def wobble(activation: str, seed: int, size: float) -> float:
    """The same unevenness for all of a seed, and a tenth of it for each activation alone."""
    own = sum(map(ord, activation))
    return size * (math.sin(12.9 * seed + 1) + 0.1 * math.sin(7.3 * seed + own))


def compared(benchmark: str = "small", seeds: int = 8, size: float = 0.05, **axes: Any) -> list[Record]:
    """Every activation on fresh seeds, told apart by `WORTH`."""
    return [
        trained(benchmark, name, 100 + s, 3 + worth + wobble(name, s, size), flops=1 + worth, **axes)
        for name, worth in WORTH.items()
        for s in range(seeds)
    ]


def tuned(benchmark: str = "small", rates: Sequence[float] = GRID, seeds: int = 2) -> list[Record]:
    """A parabola in log rate around `BEST`; relu diverges at the highest rate."""
    records = []
    for name, best in BEST.items():
        for lr in rates:
            for s in range(seeds):
                loss = 3 + WORTH[name] + 0.03 * math.log2(lr / best) ** 2 + wobble(name, s, 0.01)
                loss += 1e-6 * (s - (seeds - 1) / 2) * math.log2(lr)  # differences that vary, with the same mean
                broke = name == "relu" and lr == max(GRID)
                place = f"{benchmark}.tuning"
                records.append(lost(place, name, s, lr=lr) if broke else trained(place, name, s, loss, lr=lr))
    return records


def sized(widths: Sequence[int] = (32, 64, 128, 256), seeds: int = 5, trend: float = 0.05) -> list[Record]:
    """loss = 9 N^-0.1; every activation's difference from swiglu grows by `trend` times its worth's sign a tenfold."""
    records = []
    for d_model in widths:
        n = 24.0 * d_model**2
        for name, worth in WORTH.items():
            sign = (worth > 0) - (worth < 0)
            for s in range(seeds):
                loss = 9 * n**-0.1 + worth + sign * trend * math.log10(n / 1e5) + wobble(name, s + d_model, 0.02)
                records.append(trained("sizes", name, s, loss, d_model=d_model, layers=2 + d_model // 64))
    return records


def study(records: Sequence[Record], **changes: Any) -> Run:
    """A run of these, whose metrics know what a token costs."""
    names = dict.fromkeys(r.trial.benchmark for r in records)
    benchmarks = [{"name": name, "kind": "pretrain"} for name in names]
    one = run(records, suite(benchmarks=benchmarks, **changes))
    metrics: Mapping[str, list[dict[str, Any]]] = one.header["metrics"]
    known = [m for m in metrics["pretrain"] if m["name"] != FLOPS.name]
    return changed(one, metrics={**metrics, "pretrain": [*known, FLOPS.to_json()]})


def everything() -> Run:
    """All of it: what the screenshots are taken of."""
    sources = [r for source in ("init", "data") for r in compared(lr="tuned", varies=source, seeds=6, size=0.03)]
    both = [r for lr in ("tuned", "shared") for r in compared(lr=lr, varies="both")]
    gone = lost("small", "polynorm", 107, lr="shared", varies="both")
    both = [gone if r.trial.id == gone.trial.id else r for r in both]
    return study([*tuned(), *both, *sources, *sized()], description="A study that nobody ran.")
