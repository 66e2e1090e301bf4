"""Between two runs: what got worse than the baseline, rule by rule, and the exit code that follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from polybench.compare.comparisons import Comparisons
from polybench.compare.grid import Grid
from polybench.compare.points import matches
from polybench.compare.verdict import Pair, Ruling, Verdict, judge, name_of
from polybench.corrections import holm_of, resolves
from polybench.errors import NothingMeasured, RegistryError, UsageError
from polybench.kind import Protocol, kind_of
from polybench.machine.environment import differences as fingerprint_differences
from polybench.metric import Metric
from polybench.plan.labels import Labels
from polybench.plan.suite import Rule
from polybench.run import session
from polybench.run.store import Run
from polybench.spec import Scalar


def between(baseline: Run, run: Run) -> list[Verdict]:
    """A verdict for every cell that a rule of the run's suite names.

    A cell fails when its interval lies beyond the tolerance and its p survives Holm's correction over
    every gated cell that is tested, so that the whole gate cries wolf in at most 5 % of runs.

    Raises:
        UsageError: the suite has no rules.
        NothingMeasured: the run has no records, or a rule matches no cell of either run.
    """
    if not run.suite.gate:
        raise UsageError(f"the suite of {run.name} has no gate: rules; add some, for example {{metric: peak_bytes}}")
    for one in (run, baseline):
        if not one.records:
            raise NothingMeasured(f"nothing was measured in {one.path}")
    before, after = Comparisons.of(baseline), Comparisons.of(run)
    names = Labels.of(r.trial for one in (before, after) for r in one.run.records)
    verdicts: list[Verdict] = []
    for rule in run.suite.gate:
        pairs = _pairs(before, after, rule, names)
        if not pairs:
            raise NothingMeasured(f"the gate rule {name_of(rule)} matches no cell of either run")
        verdicts += [judge(pair, rule) for pair in pairs]
    return _corrected(verdicts)


def _pairs(before: Comparisons, after: Comparisons, rule: Rule, names: Labels) -> list[Pair]:
    """Every cell of either run that the rule names and whose kind has its metric."""
    grids = before.grid, after.grid
    old, new = before.grid.cells, after.grid.cells
    shared = fingerprint_differences(before.run.environment, after.run.environment)
    shared += [f"{one.run.name} was resumed after changes" for one in (after, before) if one.run.header.get("forced")]
    biased: dict[str, list[str]] = {}
    versions = {(benchmark, replace(cell, version=0)): cell.version for benchmark, cell in new}
    pairs: list[Pair] = []
    for key in dict.fromkeys([*old, *new]):
        benchmark, cell = key
        metric = _metric(before, after, cell.kind, rule.metric)
        if metric and any(p is not None and matches(p, rule.where) for p in (old.get(key), new.get(key))):
            if benchmark not in biased:
                biased[benchmark] = [*shared, *protocol_differences(*grids, benchmark)]
            differences = biased[benchmark]
            bumped = versions.get((benchmark, replace(cell, version=0)))
            label = next(names.of_cell(r.trial) for p in (new.get(key), old.get(key)) if p for r in p.records)
            pairs.append(Pair(metric, label, old.get(key), new.get(key), grids, differences, bumped))
    return pairs


def _corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What fails alone but not among so many is not decided."""
    adjusted = holm_of({i: v.p for i, v in enumerate(verdicts) if v.p is not None})
    return [
        replace(v, outcome="inconclusive", reason=f"{v.reason}: Holm p {adjusted[i]:.2g} over {len(adjusted)} cells")
        if v.outcome == "fail" and i in adjusted and not resolves(adjusted[i])
        else v
        for i, v in enumerate(verdicts)
    ]


def exit_code(
    verdicts: Sequence[Verdict],
    inconclusive: Literal["report", "pass", "fail"] = "report",
    run: Run | None = None,
) -> tuple[int, str]:
    """The code and the sentence that says why (precedence 5, 3, 1, 4, 0); a trial that failed in `run` is a 3 too."""

    def those(*outcomes: Ruling) -> list[Verdict]:
        return [v for v in verdicts if v.outcome in outcomes]

    def first(bad: list[Verdict]) -> str:
        return f"{bad[0].label} {bad[0].metric.name}: {bad[0].reason}"

    total = len(verdicts)
    if len(those("new")) == total:
        return 5, f"gate compared nothing: none of {total} gated cells is in the baseline; save one with --save"
    if bad := those("broken"):
        return 3, f"gate broken: {len(bad)} of {total} gated cells could not be measured, first {first(bad)}"
    if run and (failed := [r for r in run.records if r.status.broken]):
        label = session.labels(run).of_trial(failed[0].trial)
        return 3, f"gate broken: {len(failed)} trials of the run failed, first {label}: {failed[0].error}"
    if bad := those("fail", "missing"):
        return 1, f"gate failed: {len(bad)} of {total} gated cells are worse or missing, first {first(bad)}"
    if bad := those("inconclusive", "not comparable"):
        what = f"{len(bad)} of {total} gated cells cannot be judged, first {first(bad)}"
        if inconclusive == "fail":
            return 1, f"gate failed: {what}"
        if inconclusive == "report":
            return 4, f"gate inconclusive: {what}"
    wins, fresh = those("improved"), those("new")
    extra = f", {len(wins)} better than the baseline" if wins else ""
    extra += f", {len(fresh)} new and without a baseline" if fresh else ""
    return 0, f"gate passed: {total - len(fresh)} gated cells{extra}"


def protocol_differences(one: Grid, other: Grid, benchmark: str) -> list[str]:
    """What of a benchmark's protocol differs, other than how often: a heap or a sample's length biases times."""
    was, now = _biasing(one, benchmark), _biasing(other, benchmark)
    keys = sorted({*was, *now})
    return [f"protocol {k}: {was.get(k)} / {now.get(k)}" for k in keys if was.get(k) != now.get(k)]


def _biasing(grid: Grid, benchmark: str) -> dict[str, Scalar]:
    """What may bias it; all that is said where the kind is not here any more."""
    stated = grid.benchmark(benchmark)
    if stated is None:
        return {}
    try:
        return kind_of(stated.kind).protocol.biasing(stated.protocol)
    except RegistryError:
        return Protocol.biasing(stated.protocol)


def _metric(before: Comparisons, after: Comparisons, kind: str, name: str) -> Metric | None:
    return after.run.metrics.get(kind, {}).get(name) or before.run.metrics.get(kind, {}).get(name)
