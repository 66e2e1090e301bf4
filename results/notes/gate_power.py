"""What the stored gate finds and how often it cries wolf: a simulation through polybench's own judging.

    python results/notes/gate_power.py [--times 400]

Prints the table of gate-power.md. A gate holds 40 times within 5 %, eight activations in each of five places, three
launches a session. Every level moves from session to session, in part with all of its place, in part by itself.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from dataclasses import dataclass

from polybench.compare.drift import Drift, drifts
from polybench.compare.sessions import Key, Session, Timed
from polybench.compare.stored_times import History, decided
from polybench.measure.speed_metrics import TOTAL
from polybench.stats import clopper_pearson
from polybench.trial import Cell

PLACES, ACTIVATIONS, LAUNCHES, LAUNCH_SD, TOLERANCE = 5, 8, 3, 0.005, 0.05
KEYS: list[Key] = [
    (f"place {p}", Cell("speed", 1, f"activation {a}", "eager", "cpu", "float32", ()), TOTAL.name)
    for p in range(PLACES)
    for a in range(ACTIVATIONS)
]
FACTORS = (1.08, 1.15, 1.25)
SESSIONS = (5, 10, 20, 40)


@dataclass(frozen=True)
class World:
    """Standard deviations between sessions: of all of a place, of one cell. The rest makes it less tame.

    A session is `off` by 5 % in so many cases, and keeps `memory` of the one before.
    """

    shared: float
    own: float
    off: float = 0.0
    memory: float = 0.0


WORLDS = {
    "blocks over a product, sd 1.1 %": World(0.0095, 0.0055),
    "the same, each cell by itself": World(0.0, 0.011),
    "the same, with memory 0.8": World(0.0095, 0.0055, memory=0.8),
    "the same, one session in ten 5 % off": World(0.0095, 0.0055, off=0.1),
    "sd 3.4 %": World(0.03, 0.016),
    "alone over a copy, sd 6 %": World(0.052, 0.03),
}


def history(world: World, count: int, draw: random.Random) -> list[Session]:
    """Sessions of equal code, one after the other."""
    fresh = math.sqrt(1 - world.memory**2)
    shared = [draw.gauss(0, world.shared) for _ in range(PLACES)]
    own = [draw.gauss(0, world.own) for _ in KEYS]
    found = []
    for number in range(count):
        shared = [world.memory * x + fresh * draw.gauss(0, world.shared) for x in shared]
        own = [world.memory * x + fresh * draw.gauss(0, world.own) for x in own]
        off = math.log(1.05) * (draw.random() < world.off)
        times = {}
        for index, key in enumerate(KEYS):
            level = shared[index // ACTIVATIONS] + own[index] + off
            times[key] = Timed(1e-3, tuple(level + draw.gauss(0, LAUNCH_SD) for _ in range(LAUNCHES)))
        found.append(Session(str(number), "", {}, {}, times))
    return found


def outcome(known: Drift, new: Timed, factor: float) -> str:
    """Of a cell that takes `factor` times as long as in the new session."""
    slower = Timed(new.typical, tuple(log + math.log(factor) for log in new.logs))
    past = History(new.typical, known, least=len(known.levels))
    return decided(past, TOTAL, slower, TOLERANCE, len(KEYS)).outcome


def row(world: World, sessions: int, times: int) -> list[str]:
    draw = random.Random(sessions)
    found: Counter[float] = Counter()
    alarms = ungateable = 0
    for _ in range(times):
        *before, new = history(world, sessions + 1, draw)
        known = drifts(before)
        equal = [outcome(known[key], new.times[key], 1.0) for key in KEYS]
        alarms += "fail" in equal
        ungateable += equal.count("ungateable")
        found.update(f for f in FACTORS if outcome(known[KEYS[0]], new.times[KEYS[0]], f) == "fail")
    low, high = clopper_pearson(alarms, times)
    return [
        f"{alarms / times:.1%} [{low:.1%}, {high:.1%}]",
        *(f"{found[factor] / times:.0%}" for factor in FACTORS),
        f"{ungateable / times / len(KEYS):.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=400)
    times = parser.parse_args().times
    print("| sessions differ by | sessions | equal code fails | x1.08 | x1.15 | x1.25 | ungateable cells |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, world in WORLDS.items():
        for sessions in SESSIONS:
            print("|", " | ".join([name, str(sessions), *row(world, sessions, times)]), "|", flush=True)


if __name__ == "__main__":
    main()
