"""What verdicts on losses promise and keep: `.venv/bin/python results/notes/loss_verdicts.py [--families N]`.

Every verdict is made by the functions that judge a run. Simulated are normal losses of four activations beside a
reference whose noise their differences share; a difference has an sd of 0.006 nat over seeds, as in
results/published/pretrain-cpu-0.9m. *Before* is the rule that the present one took the place of: no looks were counted,
nothing was the same, and the advice was for the estimated mean alone. The split is of trainings that were run: equal
code, the seeds of each activation dealt into two arms and paired at random.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from math import sqrt
from pathlib import Path

from polybench.compare.comparison import Comparison, of_losses_by_seed
from polybench.compare.comparisons import Comparisons
from polybench.compare.family import corrected
from polybench.compare.points import by_place
from polybench.corrections import holm, resolves
from polybench.measure.kinds.pretrain import VAL_LOSS
from polybench.run.store import load
from polybench.stats import ALPHA, t_quantile, t_test

PUBLISHED = Path(__file__).parent.parent / "published"
SD, MARGIN, ROUNDS, MOST = 0.006, 0.01, 3, 300
BLANK = next(
    c for c in Comparisons.of(load(PUBLISHED / "pretrain-cpu-0.9m")).to_reference(VAL_LOSS.name).values() if c.p
)

Differences = Sequence[Mapping[int, float]]  # by seed, of every activation
Word = tuple[str, int | None]  # a verdict, and how many more seeds it advises
Rule = Callable[[Differences, Sequence[frozenset[int]]], list[Word]]


def now(differences: Differences, looks: Sequence[frozenset[int]]) -> list[Word]:
    """The words of a report."""
    found = corrected([of_losses_by_seed(BLANK, d, looks, MARGIN, len(differences)) for d in differences])
    return [(c.outcome, int(m[1]) if (m := re.search(r"about (\d+)", c.settle)) else None) for c in found]


def before(differences: Differences, looks: Sequence[frozenset[int]]) -> list[Word]:
    """The words that a report said until looks were counted."""
    values = [list(d.values()) for d in differences]
    words: list[Word] = []
    for own, p in zip(values, holm([t_test(v) for v in values]), strict=True):
        more = None if resolves(p) else _until_the_interval_clears_zero(own, 1 - ALPHA / len(values))
        words.append(("unresolved" if not resolves(p) else "better" if statistics.fmean(own) < 0 else "worse", more))
    return words


def _until_the_interval_clears_zero(values: Sequence[float], confidence: float) -> int | None:
    n, mean, spread = len(values), abs(statistics.fmean(values)), statistics.stdev(values)
    wide = (m for m in range(n + 1, 1000) if t_quantile(m - 1, confidence) * spread / sqrt(m) < mean)
    return next((m - n for m in wide), None)


class Seeds:
    """Differences from the reference, drawn as far as they are asked for; `spread` is the sd of one."""

    def __init__(self, truth: Sequence[float], spread: float, draw: random.Random):
        self.truth, self.spread, self.draw = truth, spread, draw
        self.found: list[dict[int, float]] = [{} for _ in truth]

    def upto(self, count: int) -> Differences:
        for seed in range(len(self.found[0]), count):
            shared = self.draw.gauss(0, self.spread / sqrt(2))
            for true, own in zip(self.truth, self.found, strict=True):
                own[seed] = true + self.draw.gauss(0, self.spread / sqrt(2)) - shared
        return [{s: d[s] for s in range(count)} for d in self.found]


def wrong(word: str, true: float) -> bool:
    told = {"better": -1, "worse": 1}.get(word)
    return abs(true) >= MARGIN - 1e-9 if word == "same" else told is not None and told * true <= 0


def rounds(rule: Rule, seeds: Seeds, first: int, most: bool) -> list[bool]:
    """Whether anything false was said by the end of each round in which the least or the most advice is followed."""
    looks, count, said, ever = list[frozenset[int]](), first, list[bool](), False
    for _ in range(ROUNDS):
        words = rule(seeds.upto(count), looks)
        ever |= any(wrong(word, true) for (word, _), true in zip(words, seeds.truth, strict=True))
        said.append(ever)
        more = [n for word, n in words if word == "unresolved" and n and count + n <= MOST]
        if more:
            looks.append(frozenset(range(count)))
            count += max(more) if most else min(more)
    return said


def followed(rule: Rule, true: float, first: int, draw: random.Random) -> tuple[int, bool] | None:
    """The advice of a first activation beside others alike, and whether it was decided when that was followed."""
    seeds = Seeds((true,) * 4, SD, draw)
    word, more = rule(seeds.upto(first), ())[0]
    if word != "unresolved" or more is None or first + more > MOST:
        return None
    return more, rule(seeds.upto(first + more), [frozenset(range(first))])[0][0] != "unresolved"


def split(cells: Sequence[Comparison], draw: random.Random) -> list[Comparison]:
    """One dealing of the seeds of every activation of a cell into two arms of equal code."""
    dealt = []
    for c in cells:
        losses = [r.get(VAL_LOSS.name).values[0] for r in c.point.ok()]
        draw.shuffle(losses)
        half = len(losses) // 2
        pairs = {i: a - b for i, (a, b) in enumerate(zip(losses[:half], losses[half : 2 * half], strict=True))}
        dealt.append(of_losses_by_seed(c, pairs, (), MARGIN, len(cells)))
    return corrected(dealt)


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def family_errors(count: int, draw: random.Random) -> None:
    print("| true differences, nat | sd | seeds at first | rule | one look | two | three |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for truth in ((0.0,) * 4, (0.0, 0.0, MARGIN, MARGIN), (MARGIN,) * 4):
        for spread, first in product((SD, 5 * SD), (3, 8)):
            for rule in (before, now) if not any(truth) else (now,):
                said = [rounds(rule, Seeds(truth, spread, draw), first, most=False) for _ in range(count)]
                shares = " | ".join(percent(statistics.fmean(at)) for at in zip(*said, strict=True))
                told = ", ".join(f"{t:g}" for t in truth)
                print(f"| {told} | {spread:g} | {first} | {rule.__name__} | {shares} |", flush=True)


def power_of_advice(count: int, draw: random.Random) -> None:
    print("| true difference, nat | seeds at first | rule | more seeds, median | decided |\n|---|---:|---|---:|---:|")
    for true in (0.0, 0.002, 0.004, 0.006):
        for first in (4, 8):
            for rule in (before, now):
                tries = [t for _ in range(count) if (t := followed(rule, true, first, draw))]
                if len(tries) > count / 20:
                    more, decided = statistics.median(n for n, _ in tries), statistics.fmean(d for _, d in tries)
                    print(f"| {true:g} | {first} | {rule.__name__} | {more:.0f} | {percent(decided)} |", flush=True)


def splits(names: Sequence[str], count: int, draw: random.Random) -> None:
    for name in names:
        places = by_place(Comparisons.of(load(PUBLISHED / name)).to_reference(VAL_LOSS.name).values())
        dealt = [split(cells, draw) for cells in places.values() for _ in range(count)]
        every = [c for family in dealt for c in family]
        told = statistics.fmean(c.outcome in ("better", "worse") for c in every)
        families = statistics.fmean(any(c.outcome in ("better", "worse") for c in family) for family in dealt)
        same = statistics.fmean(c.outcome == "same" for c in every)
        held = statistics.fmean(c.change.low <= 0 <= c.change.high for c in every)
        pairs = every[0].change.n
        cells = " | ".join(map(percent, (told, families, same, held)))
        print(f"| {name} | {len(places)} | {pairs} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", type=int, default=2000, help="simulated families a row")
    parser.add_argument("--splits", type=int, default=200, help="dealings of the seeds of each cell")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    draw = random.Random(asked.seed)
    print("| run | cells | pairs | called better or worse | splits with any | called same | 0 in the interval |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    splits(("pretrain-cpu-0.9m", "scaling-cpu"), asked.splits, draw)
    # Published later, so with draws of its own: those of the tables below stay.
    splits(("pretrain-cpu",), asked.splits, random.Random(asked.seed))
    print()
    power_of_advice(asked.families, draw)
    print()
    family_errors(asked.families, draw)


if __name__ == "__main__":
    main()
