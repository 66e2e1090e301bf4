"""Between a baseline and a run: what got worse, rule by rule, and the exit code that follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from polybench.compare.aligned import Aligned
from polybench.compare.baseline import Baseline
from polybench.compare.judged import trouble
from polybench.compare.verdict import Verdict, judge
from polybench.corrections import holm_of, resolves
from polybench.errors import NothingMeasured, UsageError
from polybench.plan.governing import name_of
from polybench.run import planned
from polybench.run.store import Run


def between(baseline: Baseline | Run, run: Run) -> list[Verdict]:
    """A verdict for every cell that a rule of the run's suite holds; of several the last that matches it.

    Losses fail when their interval lies beyond the tolerance and their p survives Holm's correction over every gated
    cell that is tested, times when they are worse than sessions of equal code are after the same correction: so the
    whole gate cries wolf in at most 5 % of runs.

    Raises:
        UsageError: the suite has no rules, or one whose cells later rules take; the baseline is of another suite.
        NothingMeasured: the run or the baseline is empty, or a rule matches no cell of either, on no device.
    """
    rules = run.suite.gate
    if not rules:
        raise UsageError(f"the suite of {run.name} has no gate: rules; add some, for example {{metric: peak_bytes}}")
    held = baseline if isinstance(baseline, Baseline) else Baseline.of(baseline)
    for path, empty in ((run.path, not run.records), (held.run.path, held.empty)):
        if empty:
            raise NothingMeasured(f"nothing was measured in {path}")
    if held.run.suite.suite != run.suite.suite:
        raise UsageError(f"{held.run.path} is of suite {held.run.suite.suite}, and the run of {run.suite.suite}")
    both = Aligned(held, run)
    found = [both.pairs(rule) for rule in rules]
    for rule, pairs in zip(rules, found, strict=True):
        if not pairs and both.matched(rule):
            raise UsageError(f"later gate rules take every cell of {name_of(rule)}; remove it, or put it after them")
        if not pairs and not (any(found) and both.elsewhere(rule)):
            raise NothingMeasured(f"the gate rule {name_of(rule)} matches no cell of either run")
    tests = max(1, sum(pair.tested for pairs in found for pair in pairs))
    return _corrected([judge(pair, rule, tests) for rule, pairs in zip(rules, found, strict=True) for pair in pairs])


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
    inconclusive: str = "report",
    run: Run | None = None,
) -> tuple[int, str]:
    """The code and the sentence that says why (precedence 5, 3, 1, 4, 0); a trial that failed in `run` is a 3 too."""
    total, count = len(verdicts), Counter(v.outcome for v in verdicts)
    if count["new"] == total:
        return 5, f"gate compared nothing: none of {total} gated cells is in the baseline"
    if bad := trouble("gate", verdicts, inconclusive, _failed(run) if run else ""):
        return bad
    extra = f", {count['improved']} better than the baseline" if count["improved"] else ""
    extra += f", {count['new']} new and without a baseline" if count["new"] else ""
    return 0, f"gate passed: {total - count['new']} gated cells{extra}"


def _failed(run: Run) -> str:
    """What is to be said of the trials of a run that failed, gated or not."""
    failed = planned.failed(run.records)
    if not failed:
        return ""
    label = planned.labels(run).of_trial(failed[0].trial)
    return f"{len(failed)} trials of the run failed, first {label}: {failed[0].error}"
