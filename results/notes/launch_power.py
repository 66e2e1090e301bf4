"""What the rules of launches find, and how often they err: a simulation through polybench's own judging.

    python results/notes/launch_power.py [--times 1000]

Prints the table of launches.md. Ratios have a spread from block to block and one from launch to launch; the reference
has its share of both, which its second copy and the activation have in common.
"""

from __future__ import annotations

import argparse
import math
import statistics

import numpy as np

from polybench.compare.comparison import judge_times
from polybench.launches import Rules, used
from polybench.measure.speed_metrics import TOTAL
from polybench.stats import MANY_LAUNCHES, clopper_pearson, of_launches

MARGIN = 0.03
FACTORS = (1.0, 1.03, 1.05, 1.08)
NOISE = {"usual": (0.067, 0.02), "even": (0.067, 0.005), "uneven": (0.1, 0.05)}
WAYS = {
    "as needed, 5 to 60 of 10": (Rules(5, 60, MARGIN), 10),
    "as needed, to 2 %": (Rules(5, 60, MARGIN, 0.02), 10),
    "3 of 160": (Rules(3, 3, MARGIN), 160),
    "12 of 40": (Rules(12, 12, MARGIN), 40),
}


def cells(factor: float, block_sd: float, launch_sd: float, rules: Rules, blocks: int, times: int) -> np.ndarray:
    """Log-ratios to the reference of (an activation, the second copy): times x 2 x launches x blocks."""
    draw = np.random.default_rng(1)
    noise = block_sd * draw.normal(size=(times, 3, rules.most, blocks))
    noise += launch_sd * draw.normal(size=(times, 3, rules.most, 1))
    ratios = (noise[:, 1:] - noise[:, :1]) / math.sqrt(2)
    ratios[:, 0] += math.log(factor)
    return ratios


def judged(factor: float, noise: tuple[float, float], rules: Rules, blocks: int, times: int) -> list[object]:
    outcomes, taken, covered, halves = [], [], [], []
    ratios = cells(factor, *noise, rules, blocks, times)
    if rules.pilot >= MANY_LAUNCHES:  # launches are known by their medians alone then
        ratios = np.median(ratios, axis=-1, keepdims=True)
    for arm, control in ratios.tolist():
        count = used({0: arm}, control, rules)[0]
        equal = of_launches(control[:count])
        found, _, outcome = judge_times(arm[:count], math.log1p(MARGIN), equal, TOTAL, None)
        outcomes.append(outcome)
        taken.append(count)
        covered.append(found.low <= math.log(factor) <= found.high)
        halves.append(found.half_width)
    flagged = sum(o in ("better", "worse") for o in outcomes)
    low, high = clopper_pearson(flagged, times)
    return [
        f"x{factor:.2f}",
        f"{flagged / times:.1%} [{low:.1%}, {high:.1%}]",
        f"{sum(o == 'same' for o in outcomes) / times:.1%}",
        f"{statistics.fmean(covered):.1%}",
        f"{statistics.median(halves):.1%}",
        round(blocks * statistics.fmean(taken)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=1000)
    times = parser.parse_args().times
    print("| sd of blocks, launches | launches | factor | called different | same | covered | half-width | blocks |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for word, noise in NOISE.items():
        for way, (rules, blocks) in WAYS.items():
            for factor in FACTORS:
                row = judged(factor, noise, rules, blocks, times)
                first = f"{word}: {noise[0]:.1%}, {noise[1]:.1%}"
                print("|", " | ".join(map(str, [first, way, *row])), "|", flush=True)


if __name__ == "__main__":
    main()
