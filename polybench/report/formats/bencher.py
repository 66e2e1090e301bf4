"""Bencher Metric Format, of bencher.dev/docs/reference/bencher-metric-format: a value a benchmark and measure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from polybench.document import Document, Reading
from polybench.errors import NothingMeasured
from polybench.registry import formats


@formats.register("bencher", suffix=".bencher.json", on_request=True)
def bencher(document: Document) -> str:
    """Values with their intervals for Bencher, in SI units.

    Raises:
        NothingMeasured: the document has no value of a single cell, as one of several sessions has not.
    """
    return metric_format(some(document))


def some(document: Document) -> tuple[Reading, ...]:
    """The readings of a document, which must be there: an empty list looks like a clean bill."""
    if not document.readings:
        raise NothingMeasured(f"{document.title} has no value of a single cell")
    return document.readings


def metric_format(readings: Iterable[Reading]) -> str:
    """The cell is the benchmark, the metric its measure."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for one in readings:
        ends = {"lower_value": one.low, "upper_value": one.high}
        told = {name: value for name, value in ends.items() if value is not None}
        found.setdefault(one.label, {})[one.metric] = {"value": one.value, **told}
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
