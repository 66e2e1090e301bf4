"""How often the judge errs when it goes on until it has an answer: `.venv/bin/python results/notes/judge_looks.py`.

Simulated are normal differences of losses with an sd of 0.01 nat over seeds, from three seeds on. After each look as
many are added as the judge advises, at most three times as many as there are, until it answers or has a hundred. What
is asked lies at the very edge of what is claimed, where any answer is an error; or beyond it, where one is right.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from statistics import fmean

from polybench.compare.evidence import OfSeeds
from polybench.compare.onward import MOST_GROWTH
from polybench.compare.region import Region, Sense
from polybench.corrections import resolves

FIRST, MOST, SD = 3, 100, 0.01
CASES: tuple[tuple[Sense, float, float], ...] = (  # what is claimed, by how much, and what is so
    ("less", 0.0, 0.0),
    ("less", 0.01, -0.01),
    ("same", 0.005, 0.005),
    ("less", 0.0, -0.01),
    ("less", 0.01, -0.0),
    ("same", 0.01, 0.0),
)


def answer(region: Region, true: float, rng: random.Random) -> tuple[bool | None, int]:
    """Whether the claim held in the end, None without an answer, and after how many seeds."""
    differences: dict[int, float] = {}
    wanted, look = FIRST, 0
    while True:
        for seed in range(len(differences), min(MOST, len(differences) + wanted)):
            differences[seed] = rng.gauss(true, SD)
        look += 1
        evidence = OfSeeds(differences, look)
        holds = evidence.holds(region)
        if holds is not None and resolves(evidence.p(region)):
            return holds, len(differences)
        more = evidence.more(region, 1)
        if len(differences) >= MOST or not more or not more.seeds:
            return None, len(differences)
        wanted = min(more.seeds, MOST_GROWTH * len(differences))


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--times", type=int, default=4000)
    times = options.parse_args().times
    print("| claimed of A less B, nat | true difference | supported | refuted | no answer | seeds, mean |")
    print("|---|---:|---:|---:|---:|---:|")
    for sense, margin, true in CASES:
        rng = random.Random(f"{sense}{margin}{true}")
        ended = [answer(Region(sense, margin, margin), true, rng) for _ in range(times)]
        share = {holds: count / times for holds, count in Counter(holds for holds, _ in ended).items()}
        said = f"within ±{margin:g}" if sense == "same" else f"below {-margin:g}" if margin else "below 0"
        columns = " | ".join(f"{share.get(holds, 0):.1%}" for holds in (True, False, None))
        print(f"| {said} | {true or 0:g} | {columns} | {fmean(n for _, n in ended):.0f} |", flush=True)


if __name__ == "__main__":
    main()
