"""How small a difference of losses do two cores resolve in an hour? `python resolution.py suite` or `... RUN...`.

`suite` prints the suite of levers: one small training, changed in one thing a benchmark, by paired seeds. With the
folders of its runs a table is printed: for each lever the CPU time of a training, the spread of the loss over seeds,
the spread of the differences to SwiGLU paired by seed (pooled over the other activations), and the least difference
that five activations resolve in an hour of two cores: paired t, 80 % power, at the strictest of Holm's four steps.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from pathlib import Path

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import by_place
from polybench.measure.kinds.pretrain import TRAIN_TIME, VAL_LOSS
from polybench.run.store import load

ACTIVATIONS, REFERENCE, SEEDS = ("gelu", "swiglu", "polynorm"), "swiglu", (0, 1, 2, 3)
COMPARED = 5  # activations of a suite whose hour is reckoned
BASE = {"corpus": "sotu", "tokenizer": "bpe-1024", "layers": 2, "d_model": 64, "heads": 4, "seq_len": 128, "batch": 16,
        "steps": 800, "warm_up": 0.2, "lr": 0.004, "compile": True, "eval_tokens": 262144}  # fmt: skip
STEADY: dict[str, object] = {"qk_norm": True, "zero_output": True, "average": 0.2}  # the three that calm a training
LEVERS: dict[str, dict[str, object]] = {
    "base": {},
    "steady": STEADY,
    "zero_output": {"zero_output": True},
    "qk_norm": {"qk_norm": True},
    "average-0.2": {"average": 0.2},
    "steady-1600-steps": {**STEADY, "steps": 1600},
    "steady-400-steps": {**STEADY, "steps": 400},
    "steady-wsd-0.3": {**STEADY, "schedule": "wsd", "decay": 0.3},
    "steady-batch-8": {**STEADY, "batch": 8, "steps": 1600},
    "steady-warm-up-0.05": {**STEADY, "warm_up": 0.05},
    "steady-rate-0.008": {**STEADY, "lr": 0.008},
    "steady-4-layers": {**STEADY, "layers": 4},
    "steady-wide": {**STEADY, "layers": 4, "d_model": 128, "lr": 0.003},
    "steady-bpe-512": {**STEADY, "tokenizer": "bpe-512"},
}
POWER, ALPHA = 0.8, 0.05


def suite() -> str:
    """JSON, which is YAML."""
    levers = [
        {"name": name, "kind": "pretrain", "matrix": {**BASE, **lever}, "protocol": {"evaluations": 2}}
        for name, lever in LEVERS.items()
    ]
    return json.dumps({"suite": "resolution", "activations": ACTIVATIONS, "reference": REFERENCE, "seeds": SEEDS,
                       "device": "cpu", "benchmarks": levers}, indent=1)  # fmt: skip


def least_difference(spread: float, count: float) -> float:
    """That a paired t test of `count` seeds finds with the wanted power, for differences of this spread."""
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    if count < 2:
        return math.inf
    quantile = t.ppf(1 - ALPHA / (COMPARED - 1) / 2, count - 1)

    def lacking(effect: float) -> float:  # in standard errors
        return float(nct.sf(quantile, count - 1, effect) - POWER)

    return float(brentq(lacking, 0, 100)) * spread / math.sqrt(count)


def main() -> None:
    if sys.argv[1:] == ["suite"]:
        print(suite())
        return
    print("| lever | CPU s a training | loss of SwiGLU | sd over seeds | GELU less SwiGLU | PolyNorm less SwiGLU "
          "| sd of paired differences | seeds in an hour | least difference in an hour |")  # fmt: skip
    print("|---|" + "---:|" * 8)
    for folder in map(Path, sys.argv[1:]):
        comparisons = Comparisons.of(load(folder))
        grid = comparisons.grid
        for (benchmark, _), points in by_place(grid.cells.values()).items():
            losses = {p.cell.activation: p.values(VAL_LOSS.name) for p in points}
            deviations, shown = [], {}
            for point in points:
                name = point.cell.activation
                apart = [*grid.differences(point, REFERENCE, VAL_LOSS).values()] if name != REFERENCE else []
                if len(apart) < 2:
                    continue
                mean, spread = statistics.fmean(apart), statistics.stdev(apart)
                deviations.append((spread**2, len(apart) - 1))
                shown[name] = f"{mean:+.4f} ({spread:.4f})"
            if not deviations:
                continue
            freedom = sum(d for _, d in deviations)
            paired = math.sqrt(sum(v * d for v, d in deviations) / freedom)
            alone = math.sqrt(statistics.fmean(statistics.variance(v) for v in losses.values() if len(v) > 1))
            times = [curve.values[-1] for p in points for r in p.ok() if (curve := r.get(TRAIN_TIME.name))]
            seconds = statistics.median(times)
            count = 2 * 3600 / seconds / COMPARED
            print(f"| {benchmark} | {seconds:.0f} | {statistics.fmean(losses[REFERENCE]):.4f} | {alone:.4f} "
                  f"| {shown.get('gelu', '')} | {shown.get('polynorm', '')} | {paired:.4f} "
                  f"| {count:.0f} | {least_difference(paired, count):.4f} |")  # fmt: skip


if __name__ == "__main__":
    main()
