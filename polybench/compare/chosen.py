"""The part of two plans that a filter names, with the same cells of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from polybench.plan.labels import Labels, unmatched
from polybench.run.side_plan import SidePlan
from polybench.trial import Trial


def chosen(plans: Mapping[str, SidePlan], pattern: str) -> dict[str, SidePlan]:
    """The trials whose label matches, and beside each the reference where that is gated.

    A label is that of `polybench plan --trials`, or the whole one; what matches on one side is kept on both.

    Raises:
        NothingMeasured: the pattern matches no trial of either.
    """
    every = [t for plan in plans.values() for t in (*plan.trials, *_left_out(plan))]
    launches = (replace(t, seed=1) for plan in plans.values() for job in plan.timed for t in job.trials)
    wanted = Labels.of((*every, *launches)).chosen(every, pattern)
    matched = [t for t in every if wanted(t)]
    if not matched:
        raise unmatched(pattern)

    def narrowed(plan: SidePlan) -> SidePlan:
        reference = str(plan.suite["reference"])
        ids = {t.id for t in matched} | {replace(t, cell=t.cell.of(reference)).id for t in matched}
        return plan.only(lambda trial: trial.id in ids)

    return {name: narrowed(plan) for name, plan in plans.items()}


def _left_out(plan: SidePlan) -> list[Trial]:
    return [t for job in plan.left_out for t in job.trials]
