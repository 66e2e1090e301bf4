"""A run becomes a document: the answer, the tables, the figures, and the facts they rest on."""

from __future__ import annotations

from polybench.compare import selfcheck, way
from polybench.compare.derive import with_derived
from polybench.compare.grid import compared
from polybench.document import Document, Table
from polybench.report import dynamics, limits, losses
from polybench.report.accuracy import error_figures, error_tables
from polybench.report.answer import findings
from polybench.report.cost_picture import beside_answer, cost_figures
from polybench.report.dynamics import dynamics_figures
from polybench.report.figures import figures
from polybench.report.losses import spread_tables
from polybench.report.overview import overview
from polybench.report.profiles import profile_tables
from polybench.report.provenance import facts, notes
from polybench.report.rates import rate_figures, rate_tables
from polybench.report.scaling import scaling_figures, scaling_tables
from polybench.report.selfcheck import table as selfcheck_table
from polybench.report.tables import tables
from polybench.report.way import way_tables
from polybench.run.frame import COLUMNS, rows
from polybench.run.store import Run


def compose(run: Run) -> Document:
    """The report of a run; the same for every format."""
    full = with_derived(compared(run))
    first = overview(full)
    profiles, lost = profile_tables(run)
    pictures = (
        *figures(full),
        *cost_figures(full),
        *scaling_figures(full),
        *rate_figures(run),
        *error_figures(full),
        *dynamics_figures(full),
    )
    return Document(
        title=run.name,
        description=run.suite.get("description", ""),
        findings=findings(full),
        tables=(
            *([first] if first else []),
            *error_tables(full),
            *_of_losses(run, full),
            *tables(full, without=(*losses.titles(full), *way.METRICS, *dynamics.METRICS)),
            *dynamics.dynamics_tables(full),
            *_special(full),
            *profiles,
        ),
        figures=pictures,
        facts=facts(run),
        notes=(*notes(run), *lost),
        data={"run": run.header, "columns": COLUMNS, "values": rows(run)},
        picture=beside_answer(pictures),
    )


def _of_losses(run: Run, full: Run) -> tuple[Table, ...]:
    """Tables of seeds: what is compared, and of all of the run what tuned it and where its spread comes from."""
    compared_ones = (*losses.loss_tables(full), *way_tables(full), *scaling_tables(full))
    return (*compared_ones, *rate_tables(run), *spread_tables(run))


def _special(run: Run) -> tuple[Table, ...]:
    """Tables of kinds whose numbers are not compared activation by activation."""
    kinds = {b["kind"] for b in run.suite["benchmarks"]}
    return (*limits.tables(run), *([selfcheck_table(run)] if selfcheck.KIND in kinds else []))
