"""What a report says of a run that was measured in parts: where, and what is not there."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from polybench.machine.environment import differences, fingerprint
from polybench.run.store import Run

MOST_LABELS = 3  # of missing trials; the header names them all


def missing(run: Run) -> list[str]:
    """Labels of the trials that no part had measured when the run was merged, and that are still not there."""
    there = {r.trial.label for r in run.records}
    return [label for label in run.header.get("missing", []) if label not in there]


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """(name, value) of the parts and of the machines that differ; nothing of a run that is whole."""
    sources = run.header.get("sources", [])
    part = run.header.get("shard", "")
    processes = run.header.get("processes", 1)
    return tuple(
        (name, value)
        for name, value in (
            ("part", f"{part} of the plan" if part else ""),
            ("processes", f"{processes} train one model" if processes > 1 else ""),
            ("merged from", ", ".join(_named(s) for s in sources)),
            ("machines", _machines(sources)),
        )
        if value
    )


def notes(run: Run) -> tuple[str, ...]:
    """Sentences that the reader of a part, or of several machines' times, must know."""
    found = []
    if "shard" in run.header:
        found.append(
            f"This is part {run.header['shard']} of a plan, so most comparisons miss what the other parts measure; "
            "`polybench merge` makes one run of all."
        )
    if "sources" in run.header and len(_by_machine(run.header["sources"])) > 1:
        found.append("Times of different machines are not compared with each other, only those of one machine.")
    if labels := missing(run):
        more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
        found.append(f"Not measured by any part: {'; '.join(labels[:MOST_LABELS])}{more}.")
    return tuple(found)


def _named(source: dict[str, Any]) -> str:
    shard = f"shard {source['shard']} " if "shard" in source else ""
    return f"{shard}{source['run']} on {source['environment'].get('host', 'a machine without a name')}"


def _by_machine(sources: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for source in sources:
        found[fingerprint(source["environment"])].append(source)
    return found


def _machines(sources: list[dict[str, Any]]) -> str:
    """Each machine with its hosts, and how it differs from the first; nothing when all are alike."""
    groups = list(_by_machine(sources).values())
    if len(groups) < 2:
        return ""
    first = groups[0][0]["environment"]
    told = []
    for group in groups:
        hosts = ", ".join(sorted({s["environment"].get("host", "?") for s in group}))
        apart = "; ".join(differences(first, group[0]["environment"]))
        told.append(f"{hosts} ({apart})" if apart else hosts)
    return f"{len(groups)} that differ: {' | '.join(told)}"
