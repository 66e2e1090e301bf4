"""The `customSmallerIsBetter` of github.com/benchmark-action/github-action-benchmark: a list of values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from polybench.document import Document, Reading
from polybench.metric import significant
from polybench.registry import formats
from polybench.report.formats.bencher import some


@formats.register("github-action-benchmark", suffix=".benchmark.json", on_request=True)
def github_action_benchmark(document: Document) -> str:
    """Values of which less is better, for github-action-benchmark.

    Raises:
        NothingMeasured: the document has no value of a single cell.
    """
    return smaller_is_better(some(document))


def smaller_is_better(readings: Iterable[Reading], extra: Mapping[Reading, str] | None = None) -> str:
    """An entry a value, its interval as the range; what is better when it is higher, or neither, is left out."""
    found = []
    for one in readings:
        if one.better == "lower":
            entry: dict[str, str | float] = {"name": f"{one.label} {one.metric}", "unit": one.unit, "value": one.value}
            if one.low is not None and one.high is not None:
                entry["range"] = f"[{significant(one.low, 4)}, {significant(one.high, 4)}]"
            if extra and one in extra:
                entry["extra"] = extra[one]
            found.append(entry)
    return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
