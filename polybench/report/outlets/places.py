"""Where a rule or a claim stands in its suite file, for what points at lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polybench.compare.judged import CLAIMS, Judged
from polybench.compare.verdict import Verdict
from polybench.errors import PolybenchError
from polybench.plan.extends import extended
from polybench.plan.governing import name_of
from polybench.plan.located import Located, Mark
from polybench.plan.suite import RELATIONS, Rule

_NAMES = ("subject", *RELATIONS)  # of a claim


def places(judged: Judged) -> list[Mark | None]:
    """The mark of each verdict's rule: of its line, else of all rules, else of the file; none where that is gone.

    The file may have changed since it was run, so it is read and not checked.
    """
    source = Path(judged.source)
    try:
        located = extended(source) if judged.source and source.is_file() else None
    except (PolybenchError, OSError, ValueError):
        return [Mark(judged.source)] * len(judged.verdicts)
    return [_place(located, judged, v) if located else None for v in judged.verdicts]


def _place(located: Located, judged: Judged, v: Verdict) -> Mark:
    section = "claims" if judged.command == CLAIMS else "gate"
    data = located.data if isinstance(located.data, dict) else {}
    items = data[section] if isinstance(data.get(section), list) else []
    fits = _claims if section == "claims" else _rules
    index = next((i for i, item in enumerate(items) if isinstance(item, dict) and fits(item, v)), None)
    if index is not None:
        return located.mark((section, index))
    return located.mark((section,), at_key=True) if section in data else Mark(judged.source)


def _rules(item: dict[str, Any], v: Verdict) -> bool:
    try:
        return name_of(Rule.model_validate(item)) == v.rule
    except ValidationError:
        return False


def _claims(item: dict[str, Any], v: Verdict) -> bool:
    """Whether it is of this metric, and all that it names is named."""
    named = [item[key] for key in _NAMES if item.get(key)]
    named += item["order"] if isinstance(item.get("order"), list) else []
    return item.get("metric") == v.metric.name and all(str(name) in v.rule for name in named)
