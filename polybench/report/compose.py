"""A run becomes a document: the answer, the tables, the figures, and the facts they rest on."""

from __future__ import annotations

from collections import Counter

from polybench.compare import selfcheck, way
from polybench.compare.derive import with_derived
from polybench.compare.grid import compared
from polybench.document import Document, Table
from polybench.report import dynamics_table, loss_table, roofline, sources
from polybench.report.answer import findings
from polybench.report.dynamics_figure import dynamics_figures
from polybench.report.error_figure import error_figures
from polybench.report.error_table import error_tables
from polybench.report.figures import figures
from polybench.report.overview import overview
from polybench.report.profiles import profile_tables
from polybench.report.rates import rate_figures, rate_tables
from polybench.report.scaling import scaling_figures, scaling_tables
from polybench.report.spread import spread_tables
from polybench.report.table import tables
from polybench.run.frame import COLUMNS, rows
from polybench.run.store import Run


def compose(run: Run) -> Document:
    """The report of a run; the same for every format."""
    full = with_derived(compared(run))
    first = overview(full)
    profiles, lost = profile_tables(run)
    return Document(
        title=run.name,
        description=run.suite.get("description", ""),
        findings=findings(full),
        tables=(
            *([first] if first else []),
            *error_tables(full),
            *_of_losses(run, full),
            *tables(full, without=(*loss_table.titles(full), *way.METRICS, *dynamics_table.METRICS)),
            *dynamics_table.dynamics_tables(full),
            *_special(full),
            *profiles,
        ),
        figures=(
            *figures(full),
            *scaling_figures(full),
            *rate_figures(run),
            *error_figures(full),
            *dynamics_figures(full),
        ),
        facts=facts(run),
        notes=(*_notes(run), *lost),
        data={"run": run.header, "columns": COLUMNS, "values": rows(run)},
    )


def _of_losses(run: Run, full: Run) -> tuple[Table, ...]:
    """Tables of seeds: what is compared, and of all of the run what tuned it and where its spread comes from."""
    compared_ones = (*loss_table.loss_tables(full), *way.way_tables(full), *scaling_tables(full))
    return (*compared_ones, *rate_tables(run), *spread_tables(run))


def _special(run: Run) -> tuple[Table, ...]:
    """Tables of kinds whose numbers are not compared activation by activation."""
    kinds = {b["kind"] for b in run.suite["benchmarks"]}
    return (*roofline.tables(run), *([selfcheck.table(run)] if selfcheck.KIND in kinds else []))


def facts(run: Run) -> tuple[tuple[str, str], ...]:
    """Where and when the numbers were made, and how many trials ended how."""
    environment, after = run.environment, run.header.get("environment_after", {})
    packages = environment.get("packages", {})
    ended = Counter(r.status.replace("_", " ") for r in run.records)
    pairs = (
        ("run", str(run.path)),
        ("started", run.header.get("started_at", "")),
        *sources.facts(run),
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


def _notes(run: Run) -> tuple[str, ...]:
    forced = run.header.get("forced", [])
    mixed = [f"This run was resumed after changes, so its parts may not go together: {'; '.join(forced)}."]
    planned, there = run.header.get("planned", 0), len(run.records)
    parts = sources.notes(run)
    if there >= planned:
        return (*run.notes, *(mixed if forced else []), *parts)
    command = f"`polybench run --resume {run.path}`"
    return (
        *run.notes,
        *(mixed if forced else []),
        f"The run is not complete: {there} of {planned} trials are there; {command} goes on.",
        *parts,
    )
