"""How far each activation's training loss lies above another's as training goes on, paired by seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from statistics import fmean

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Group, Point, by_place
from polybench.document import Series
from polybench.measure.training_metrics import TRAIN_LOSS
from polybench.report import bands

_PARTS = 40  # of a training, each a point
_SKIPPED = 4  # of them, in which losses fall too fast to be told apart


def gaps(comparisons: Comparisons, reference: str) -> Iterator[tuple[Group, list[Series]]]:
    """By place: nat a token over the per cent of the steps, a mean over seeds with its band, a line an activation.

    A point is the mean over a fortieth of the steps. Trainings of which not every step is kept are left out.
    """
    for group, points in by_place(p for p in comparisons.points() if _curves(p)).items():
        base = next((_curves(p) for p in points if p.cell.activation == reference), {})
        lines = [line for p in points if p.cell.activation != reference and (line := _line(p, base))]
        if lines:
            yield group, lines


def _line(point: Point, base: Mapping[int, list[float]]) -> Series | None:
    own = _curves(point)
    seeds = sorted(own.keys() & base.keys())
    if not seeds:
        return None
    apart = [[a - b for a, b in zip(own[s], base[s], strict=True)] for s in seeds if len(own[s]) == len(base[s])]
    values = {100 * (i + 1) / _PARTS: [curve[i] for curve in apart] for i in range(_SKIPPED, _PARTS)}
    counts = [len(apart)]
    return bands.line(point.cell.activation, values, bands.few(counts), len(apart) > 1) if apart else None


def _curves(point: Point) -> dict[int, list[float]]:
    """Means of the parts of the training loss by seed, of seeds that ended well."""
    found = {}
    for record in point.ok():
        curve = record.get(TRAIN_LOSS.name)
        if curve and len(curve.values) >= max(_PARTS, *(curve.steps or ())[-1:]):
            edges = [round(i * len(curve.values) / _PARTS) for i in range(_PARTS + 1)]
            found[record.trial.seed] = [fmean(curve.values[a:b]) for a, b in pairwise(edges)]
    return found
