"""Where the numbers come from: machine, software, parts, how trials ended, and what is missing."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from polybench.compare.comparison import of_losses
from polybench.compare.comparisons import Comparisons
from polybench.machine.environment import differences, fingerprint
from polybench.report.section import Section
from polybench.run.merge import MOST_LABELS, missing
from polybench.run.store import Run


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Where and when the numbers were made, and how many trials ended how."""
    environment, after = run.environment, run.header.get("environment_after", {})
    packages = environment.get("packages", {})
    ended = Counter(r.status.words for r in run.records)
    pairs = (
        ("run", str(run.path)),
        ("started", run.header.get("started_at", "")),
        *part_facts(run),
        ("device", run.header.get("device", "")),
        ("processor", f"{environment.get('cpu', '')}, {environment.get('cores', '')} cores"),
        ("clock", ", ".join(f"{k} {environment[k]}" for k in ("governor", "boost", "smt") if k in environment)),
        ("memory", f"{environment.get('memory_GiB', '')} GiB"),
        ("GPU", ", ".join(environment.get("gpus", []))),
        ("load before", ", ".join(map(str, environment.get("load", [])))),
        ("load after", ", ".join(map(str, after.get("load", [])))),
        ("meanwhile", _meanwhile(after.get("meanwhile", {}))),
        ("system", environment.get("system", "")),
        ("Python", environment.get("python", "")),
        ("packages", ", ".join(f"{k} {v}" for k, v in packages.items() if v)),
        ("polybench", f"{environment.get('polybench', '')} (code {environment.get('code', '')})"),
        ("trials", ", ".join(f"{n} {status}" for status, n in ended.most_common())),
    )
    return tuple((name, value) for name, value in pairs if value)


def _meanwhile(window: dict[str, float]) -> str:
    """What others did to the machine during the run; older runs did not look."""
    if "other_cores" not in window:
        return ""
    stolen, stopped = window.get("stolen_cores", 0), window.get("throttled", 0)
    text = f"others kept {window['other_cores']:.2f} processors busy, a hypervisor took {stolen:.2f}"
    return text + (f", the container's quota stopped it {stopped} times" if stopped else "")


def section(comparisons: Comparisons) -> Section:
    """What the reader must know of how the run came to be."""
    run = comparisons.stored
    forced, planned, there = run.header.get("forced", []), run.header.get("planned", 0), len(run.records)
    notes = list(run.notes)
    if forced:
        notes.append(f"This run was resumed after changes, so its parts may not go together: {'; '.join(forced)}.")
    by_seed = {b.name for b in run.suite.benchmarks if any(map(of_losses, run.metrics.get(b.kind, {}).values()))}
    for name, looks in run.header.get("looks", {}).items():
        if name not in by_seed:
            continue  # times and counts are not judged by seeds
        counts = " and ".join(str(len(seeds)) for seeds in looks)
        before = f"{name} was judged before at {counts} seeds"
        notes.append(f"Seeds were added: {before}, and every p of a loss counts that.")
    if there < planned:
        command = f"`polybench run --resume {run.path}`"
        notes.append(f"The run is not complete: {there} of {planned} trials are there; {command} goes on.")
    return Section(notes=(*notes, *_part_notes(run)))


def part_facts(run: Run) -> tuple[tuple[str, str], ...]:
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


def _part_notes(run: Run) -> tuple[str, ...]:
    """Sentences that the reader of a part, or of several machines' times, must know."""
    notes = []
    if "shard" in run.header:
        notes.append(
            f"This is part {run.header['shard']} of a plan, so most comparisons miss what the other parts measure; "
            "`polybench merge` makes one run of all."
        )
    if "sources" in run.header and len(_by_machine(run.header["sources"])) > 1:
        notes.append("Times of different machines are not compared with each other, only those of one machine.")
    if labels := missing(run):
        more = f" and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
        notes.append(f"Not measured by any part: {'; '.join(labels[:MOST_LABELS])}{more}.")
    return tuple(notes)


def _named(source: dict[str, Any]) -> str:
    shard = f"shard {source['shard']} " if "shard" in source else ""
    return f"{shard}{source['run']} on {source['environment'].get('host', 'a machine without a name')}"


def _by_machine(sources: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    machines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for source in sources:
        machines[fingerprint(source["environment"])].append(source)
    return machines


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
