"""Was a training read before it had settled: by how many steps do equal trainings end apart, and how fast do they fall.

In a transient the loss at the end says *when* a training left its plateau: seeds of one activation, which have the
same end to reach, stand as far apart as a good part of the training is worth; afterwards they agree to a hundredth of
it. So the spread over seeds is told in steps, by what the loss falls as the steps double. In trainings of this project
of 200 and 400 steps, after which the order of activations became another, it was 0.2 to 0.5 doublings; in those of
1200 steps that `published/pretrain-cpu-0.9m` holds it is 0.014.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from polybench.compare.comparisons import Comparisons
from polybench.compare.derive import has_finished, interpolated
from polybench.compare.points import Point, by_place
from polybench.compare.rates import tunings
from polybench.measure.kinds.pretrain import FINISHED_CURVE, VAL_CURVE, VAL_LOSS
from polybench.plan.tuning import best_rate
from polybench.record import Record

MOST_APART = 0.05  # doublings of the steps that seeds may end apart
MOST_LATE = (
    0.14  # share of a training's whole fall that its last doubling may bring; in the same runs 0.17 to 0.28, and 0.09
)


@dataclass(frozen=True)
class Transient:
    """A place whose trainings, of `steps` steps, were read too early.

    `spread` is the sd over seeds in nats, pooled over activations, None of single seeds, and `apart` the same
    in doublings of the steps; `late` is the share of the fall that the last doubling brought. `needed` are the
    steps that would do, `at_least` where no more than that is known.
    """

    benchmark: str
    steps: int
    spread: float | None
    apart: float | None
    late: float
    needed: int
    at_least: bool

    @property
    def share(self) -> float | None:
        """How many more or fewer steps are worth as much as seeds are apart, as a share of the steps: None of single
        seeds, and where that were more steps than there are."""
        return 2**self.apart - 1 if self.apart is not None and self.apart <= 1 else None


def transients(comparisons: Comparisons) -> Iterator[Transient]:
    """Every one of the `places` whose trainings had not settled."""
    for members in places(comparisons):
        found = _of_place(members)
        if found and (found.late > MOST_LATE or (found.apart or 0.0) > MOST_APART):
            yield found


def places(comparisons: Comparisons) -> Iterator[Sequence[Point]]:
    """What is compared, in the order of the suite; then what was tuned, each activation at its best rate alone, since
    lower rates never settle in time."""
    yield from by_place(comparisons.points()).values()
    for tried in tunings(comparisons).values():
        best = {name: best_rate(losses) for name, losses in tried.losses.items()}
        if members := [p for p in tried.points if p.cell.axis("lr") == best[p.cell.activation]]:
            yield members


def _of_place(members: Sequence[Point]) -> Transient | None:
    trained = [[r for r in p.ok() if r.get(VAL_CURVE.name) and r.get(VAL_LOSS.name)] for p in members]
    records = [r for of_point in trained for r in of_point]
    if not records:
        return None
    steps = max(_curve(r)[0][-1] for r in records)
    falls = [_last_doubling(r) for r in records]
    fall, whole = statistics.fmean(falls), statistics.fmean(_whole(r) for r in records)
    if not (0 < fall < math.inf and 0 < whole < math.inf):
        return None  # nothing is learned any more, or nothing was
    ends = [[_final(r) for r in of_point] for of_point in trained if len(of_point) > 1]
    spread = math.sqrt(statistics.fmean(statistics.variance(e) for e in ends)) if ends else None
    if spread is not None and not math.isfinite(spread):
        return None
    apart = spread / fall if spread is not None else None
    # Seeds that stay as many steps apart are so by a smaller share of more steps.
    times = (2 ** min(apart, 1.0) - 1) / (2**MOST_APART - 1) if apart else 0.0
    at_least = apart is None or apart <= MOST_APART or apart > 1
    return Transient(
        members[0].benchmark, int(steps), spread, apart, fall / whole, round(steps * max(times, 2)), at_least
    )


def _curve(record: Record) -> tuple[tuple[float, ...], tuple[float, ...]]:
    curve = record.get(VAL_CURVE.name)
    assert curve is not None
    return tuple(map(float, curve.steps or range(len(curve.values)))), curve.values


def _final(record: Record) -> float:
    loss = record.get(VAL_LOSS.name)
    assert loss is not None
    return loss.values[0]


def _whole(record: Record) -> float:
    _, losses = _curve(record)
    return losses[0] - losses[-1]


def _last_doubling(record: Record) -> float:
    """Nats that the last doubling of the steps brought.

    Between the last two finished trainings where there are several; else along the schedule, whose second
    half brings what the falling rate does too, so that the spread comes out as somewhat fewer steps.
    """
    finished = record.get(FINISHED_CURVE.name)
    if finished and finished.steps and has_finished(record):
        (a, b), (before, after) = finished.steps[-2:], finished.values[-2:]
        return (before - after) / math.log2(b / a)
    steps, losses = _curve(record)
    return interpolated(steps[-1] / 2, steps, losses) - losses[-1]
