"""Metrics of how large the values before and after an activation are, and what formats of numbers hold of them.

No torch in here, so that suites and reports may read it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from polybench.metric import Metric

FORMATS = ("float16", "float8_e4m3", "float8_e5m2")
SIDES = {"preactivation": "the activation's input", "activation": "the activation's output"}
_SOURCES = {"float16": "IEEE 754-2019"} | dict.fromkeys(FORMATS[1:], "arXiv:2209.05433")


@dataclass(frozen=True)
class Ranged:
    """One quantity of one side of an activation: over layers after training, by layer, and over layers by step.

    Of `highest` the layer with the highest value counts, else the mean over layers.
    """

    side: str
    what: str
    scalar: Metric
    by_layer: Metric
    by_step: Metric
    highest: bool

    def over_layers(self, values: Sequence[float]) -> float:
        """NaN where the value of a layer is."""
        return max(values, key=lambda v: (math.isnan(v), v)) if self.highest else fmean(values)


def _ranged(
    side: str, what: str, unit: str, title: str, more: str = "", highest: bool = False, source: str = ""
) -> Ranged:
    name, over = f"{side}_{what}", "highest of all layers" if highest else "mean over layers"
    layered = f"layer_{name.removeprefix('activation_')}"  # as the other metrics of the output are called
    said = f"{title[0].upper()}{title[1:]} on one held-out batch{more}"

    def metric(name: str, definition: str, **kind: Any) -> Metric:
        return Metric(name, unit, "neither", "seed", f"{definition}.", source, title=title, **kind)

    return Ranged(
        side,
        what,
        metric(name, f"{said}, {over}"),
        metric(layered, said, curve=True, along="layer"),
        metric(f"{name}_curve", f"{said}, {over}, by step", curve=True),
        highest,
    )


def _of(side: str, values: str) -> Iterator[Ranged]:
    yield _ranged(side, "largest", "1", f"largest absolute value of {values}", highest=True)
    more = ": the largest absolute value over the rms"
    yield _ranged(side, "crest", "1", f"crest factor of {values}", more, highest=True)
    yield _ranged(side, "zeros", "share", f"share of exact zeros in {values}")
    for name in FORMATS:
        more = ": larger than its largest finite number, unscaled"
        yield _ranged(side, f"beyond_{name}", "share", f"share of {values} beyond {name}", more, source=_SOURCES[name])


RANGES = tuple(ranged for side, values in SIDES.items() for ranged in _of(side, values))
