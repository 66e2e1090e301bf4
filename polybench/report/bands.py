"""Means over seeds with their band: the lines and points of every picture, and the words that say what a band is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from polybench.document import Series
from polybench.report.wording import mean_over
from polybench.stats import CONFIDENCE_SEED, Estimate, paired

Values = Mapping[int, Sequence[float]] | Mapping[float, Sequence[float]]  # of the seeds, by x
FEW_SEEDS = 6  # below, a band shows the seeds' range: a t interval of so few is wider than all of them


def few(counts: Sequence[int]) -> bool:
    """Whether a picture of points with so many seeds shows their range."""
    return min(counts) < FEW_SEEDS


def told(counts: Sequence[int], banded: bool) -> str:
    """What the lines of a picture are, for its caption."""
    band = "the range of the seeds" if few(counts) else f"the {CONFIDENCE_SEED:.0%} t interval of the mean"
    return mean_over(counts) + (f"; the band is {band}" if banded else "")


def ends(estimate: Estimate) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Low and high of a single point, empty where there is no interval or nothing varies."""
    known = estimate.known and estimate.low < estimate.high
    return ((estimate.low,), (estimate.high,)) if known else ((), ())


def line(label: str, values: Values, ranged: bool, banded: bool) -> Series:
    """The means over the seeds by x, with a band of their range or t interval."""
    means = {x: paired(of_seeds) for x, of_seeds in values.items()}
    low = tuple(min(v) if ranged else means[x].low for x, v in values.items())
    high = tuple(max(v) if ranged else means[x].high for x, v in values.items())
    return Series(label, tuple(means), tuple(m.value for m in means.values()), *((low, high) if banded else ()))
