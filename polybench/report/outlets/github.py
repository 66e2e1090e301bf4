"""Verdicts for a job on GitHub: a page in its summary, and lines that mark the rules in the suite file.

Workflow commands are those of docs.github.com/actions, *Workflow commands for GitHub Actions*.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from polybench.compare.judged import ORDER, PASSED, UNDECIDED, Judged, shown_values
from polybench.compare.verdict import Verdict
from polybench.plan.located import Mark
from polybench.registry import outlets
from polybench.report.outlets.markdown import page
from polybench.report.outlets.places import places

MOST_LINES = 10  # GitHub shows no more of a kind for one step


def marks(judged: Judged) -> Sequence[str]:
    """At most ten `::error` and `::warning` lines, the worst first; the last counts those that are left out."""
    found = list(_lines(judged))
    if len(found) <= MOST_LINES:
        return found
    rest = f"and {len(found) - MOST_LINES + 1} more cells, which the summary lists"
    return [*found[: MOST_LINES - 1], _command("error" if judged.code not in (0, 4) else "warning", None, rest)]


@outlets.register("github", suffix=".md", variable="GITHUB_STEP_SUMMARY", announces=marks)
def github(judged: Judged, before: str) -> str:
    """The page below what is there, since the steps of a job may share a summary."""
    return f"{before.rstrip()}\n\n{page(judged)}".lstrip()


def _lines(judged: Judged) -> Iterator[str]:
    if judged.beyond:
        yield _command("warning" if judged.code == 4 else "error", None, judged.reason)
    placed = zip(judged.verdicts, places(judged), strict=True)
    for v, place in sorted(placed, key=lambda pair: ORDER.index(pair[0].outcome)):
        if v.outcome not in (*PASSED, "new"):
            yield _command("warning" if v.outcome in UNDECIDED else "error", place, _sentence(judged, v))


def _sentence(judged: Judged, v: Verdict) -> str:
    what = f"{judged.word(v)}: {v.label} {v.metric.name} {shown_values(v)}".rstrip()
    return f"{what}: {v.reason}" if v.reason else what


def _command(kind: str, place: Mark | None, message: str) -> str:
    where = {"file": _from_root(place.file), "line": str(place.line) if place.line else ""} if place else {}
    told = ",".join(f"{key}={_property(value)}" for key, value in {**where, "title": "polybench"}.items() if value)
    return f"::{kind} {told}::{_data(message)}"


def _from_root(file: str) -> str:
    """The path from the root of the repository, which a job may have left."""
    root = os.environ.get("GITHUB_WORKSPACE", ".")
    path = os.path.relpath(file, root)
    return file if path.startswith(os.pardir) else path


def _data(text: str) -> str:
    """One line, of which no part is a command of its own."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
