"""What was judged, for Bencher: the value of each cell, and its change with the interval of that."""

from __future__ import annotations

import math
from collections.abc import Iterator

from polybench.compare.judged import Judged
from polybench.compare.verdict import Verdict
from polybench.document import Reading
from polybench.registry import outlets
from polybench.report.formats.bencher import metric_format


@outlets.register("bencher", suffix=".bencher.json")
def bencher(judged: Judged, before: str) -> str:
    """Bencher Metric Format: `metric` in its SI unit, and `metric-change`, a ratio or a difference of losses."""
    return metric_format(reading for v in judged.verdicts for reading in readings(v))


def readings(v: Verdict) -> Iterator[Reading]:
    """The value that was judged, and its change where that has an interval: of exact counts the value says it all."""
    if v.value is not None and math.isfinite(v.value):
        yield Reading(v.label, v.metric.name, v.metric.unit, v.metric.better, v.value)
    if v.change and v.change.known and v.metric.varies_with != "nothing":
        unit, change = "1" if v.metric.effect == "ratio" else v.metric.unit, v.change
        name = f"{v.metric.name}-change"
        yield Reading(v.label, name, unit, v.metric.better, change.value, change.low, change.high)
