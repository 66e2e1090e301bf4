"""What was judged, for github-action-benchmark."""

from __future__ import annotations

from polybench.compare.judged import Judged
from polybench.registry import outlets
from polybench.report.formats.github_action_benchmark import smaller_is_better
from polybench.report.outlets.bencher import readings


@outlets.register("github-action-benchmark", suffix=".benchmark.json")
def github_action_benchmark(judged: Judged, before: str) -> str:
    """`customSmallerIsBetter`, with the verdict beside each value."""
    told = {one: judged.word(v) for v in judged.verdicts for one in readings(v)}
    return smaller_is_better(told, told)
