"""How often `polybench history` calls equal times changed, and how often it finds what did; simulated, a minute.

Prints what docs/formats.md says. `polybench.compare.changes.of_times` is asked at the level that a page gives each of
its cells.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from polybench.compare.changes import LEAST, Seen, of_times
from polybench.compare.kept_session import Told
from polybench.stats import ALPHA, Estimate

MARGIN = 0.03
drawn = random.Random(7)


def sessions(count: int, spread: float, memory: float) -> list[float]:
    """Log-ratios of normal noise whose neighbours correlate by `memory`."""
    values = [drawn.gauss(0, spread)]
    while len(values) < count:
        values.append(memory * values[-1] + math.sqrt(1 - memory**2) * drawn.gauss(0, spread))
    return values


def seen(values: Sequence[float], half_width: float) -> Seen:
    found = [math.exp(v) for v in values]
    return [(i, Told(Estimate(v, v * (1 - half_width), v * (1 + half_width), 9))) for i, v in enumerate(found)]


def alarms(memory: float, margin: float, pages: int = 200, cells: int = 10, count: int = 20) -> int:
    """Pages with a change, of equal sessions that spread by 3 % and whose own intervals have no width."""
    level = ALPHA / (cells * (count - LEAST))
    page = (range(cells) for _ in range(pages))
    return sum(
        any(s.confirmed for _ in one for s in of_times(seen(sessions(count, 0.03, memory), 0.0), margin, level))
        for one in page
    )


def found(before: int, spread: float, factor: float, times: int = 100, cells: int = 60, count: int = 30) -> int:
    """Histories in which a factor that came after so many sessions is told there; intervals of a per cent."""
    level, hits = ALPHA / (cells * (count - LEAST)), 0
    for _ in range(times):
        values = [v + (math.log(factor) if i >= before else 0) for i, v in enumerate(sessions(count, spread, 0.0))]
        hits += any(s.session == before and s.confirmed for s in of_times(seen(values, 0.01), MARGIN, level))
    return hits


for memory in (0.0, 0.5, 0.8):
    for margin in (0.0, MARGIN):
        print(
            f"correlation {memory}, margin {margin:.0%}: a change on {alarms(memory, margin)} of 200 pages", flush=True
        )
for spread in (0.01, 0.02):
    for before in (6, 12, 20):
        told = ", ".join(f"x{factor} {found(before, spread, factor)}" for factor in (1.08, 1.15, 1.25))
        print(f"spread {spread:.0%}, after {before} sessions, of 100: {told}", flush=True)
