"""A run becomes a document: the answer, the tables, the figures, and the facts they rest on."""

from __future__ import annotations

from collections import Counter

from polybench.answer import findings
from polybench.derive import with_derived
from polybench.document import Document
from polybench.error_figure import error_figures
from polybench.error_table import error_tables
from polybench.figure import figures
from polybench.frame import rows
from polybench.overview import overview
from polybench.store import Run
from polybench.table import tables


def compose(run: Run) -> Document:
    """The report of a run; the same for every format."""
    full = with_derived(run)
    first = overview(full)
    return Document(
        title=run.name,
        description=run.suite.get("description", ""),
        findings=findings(full),
        tables=(*([first] if first else []), *error_tables(full), *tables(full)),
        figures=(*figures(full), *error_figures(full)),
        facts=facts(run),
        notes=_notes(run),
        data={"run": run.header, "values": rows(run)},
    )


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Where and when the numbers were made, and how many trials ended how."""
    environment = run.environment
    packages = environment.get("packages", {})
    ended = Counter(r.status.replace("_", " ") for r in run.records)
    pairs = (
        ("run", str(run.path)),
        ("started", run.header.get("started_at", "")),
        ("device", run.header.get("device", "")),
        ("processor", f"{environment.get('cpu', '')}, {environment.get('cores', '')} cores"),
        ("memory", f"{environment.get('memory_GiB', '')} GiB"),
        ("GPU", ", ".join(environment.get("gpus", []))),
        ("load before", ", ".join(map(str, environment.get("load", [])))),
        ("load after", ", ".join(map(str, run.header.get("environment_after", {}).get("load", [])))),
        ("system", environment.get("system", "")),
        ("Python", environment.get("python", "")),
        ("packages", ", ".join(f"{k} {v}" for k, v in packages.items() if v)),
        ("polybench", f"{environment.get('polybench', '')} (code {environment.get('code', '')})"),
        ("trials", ", ".join(f"{n} {status}" for status, n in ended.most_common())),
    )
    return tuple((name, value) for name, value in pairs if value)


def _notes(run: Run) -> tuple[str, ...]:
    planned, there = run.header.get("planned", 0), len(run.records)
    if there >= planned:
        return run.notes
    command = f"`polybench run --resume {run.path}`"
    return (*run.notes, f"The run is not complete: {there} of {planned} trials are there; {command} goes on.")
