"""What the tasks that polybench brings score, read from their files, so that a slip in a claim is seen beforehand."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from polybench.errors import did_you_mean, in_short

OURS = "polybench"  # how the names of all of them begin, and no other task's
_FOLDER = Path(__file__).parents[1] / "tasks"
_A_SLIP = 0.85  # likeness (difflib's ratio) from which a name is one of ours misspelt, not somebody else's task


def misspelt(metric: str) -> str:
    """Why `TASK METRIC` is no score of a task of ours although it looks like one; empty of others' tasks."""
    known = scores()
    tasks = {name.partition(" ")[0] for name in known}
    task = metric.partition(" ")[0]
    ours = task.startswith(OURS) or difflib.get_close_matches(task, tasks, n=1, cutoff=_A_SLIP)
    if metric in known or not ours:
        return ""
    return f"no task of polybench scores {in_short(metric)}, {did_you_mean(metric, known)}"


@cache
def scores() -> frozenset[str]:
    """`polybench_agreement acc` and so on: every metric of every task and group."""
    files = [_content(path.name) for path in sorted(_FOLDER.glob("*.yaml"))]
    return frozenset(
        f"{name} {metric['metric']}"
        for data in files
        if isinstance(name := data.get("group") or data.get("task"), str)
        for metric in (*data.get("metric_list", ()), *data.get("aggregate_metric_list", ()))
    )


def _content(name: str) -> dict[str, Any]:
    """One file, over what it includes."""
    data: dict[str, Any] = yaml.load((_FOLDER / name).read_text(encoding="utf-8"), Loader=_Loader)
    return {**_content(data["include"]), **data} if "include" in data else data


class _Loader(yaml.SafeLoader):
    """Functions that a file names are not looked for."""


_Loader.add_constructor("!function", lambda loader, node: None)
