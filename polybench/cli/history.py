"""`polybench history`: a suite over all that is kept of it, as a page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.cli.report import SCREEN, emit, loaded, only, rendered, suffix
from polybench.errors import NothingMeasured, PolybenchError, UsageError, did_you_mean

if TYPE_CHECKING:
    from polybench.compare.kept_session import Session
    from polybench.document import Document
    from polybench.run.past import Kept

PAGE = "html"  # the format that is written where none is asked for


def history(
    suite: Annotated[
        str | None, typer.Argument(metavar="[SUITE]", help="its name or file; that of the latest run if left out")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="this metric, not those that are gated or summed up")
    ] = None,
    table: Annotated[list[str] | None, typer.Option(metavar="NAME", help="print this table and write no page")] = None,
    format: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="print terminal, markdown, html, json, csv or csv.gz")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write history.html here, not in results/SUITE")
    ] = None,
) -> None:
    """Show a suite's values over all of its runs and baselines.

    One page without network: what changed in which session and what else did, a small picture for each metric and
    activation, the sessions. With --format one format is printed, or with --out written.
    """
    from polybench.compare.history import history as over
    from polybench.files import make_folder, write_whole
    from polybench.registry import formats
    from polybench.report.history import document
    from polybench.run.past import past
    from polybench.run.store import ROOT

    if table and out:
        raise UsageError("--table prints a table and writes nothing, so leave --out away")
    chosen = loaded(format or [SCREEN])
    kept = past(_name(suite))
    sessions, notes = _read(kept, metric or ())
    made = document(over(sessions), notes)
    if table or (format and not out):
        for one in chosen:
            emit(one, only(made, table) if table else made)
        return
    folder = out or ROOT / kept[-1].suite
    make_folder(folder)
    if not format:
        emit(formats.load(SCREEN), _brief(made, suite) if sys.stdout.isatty() else made)
    for one in chosen if format else [formats.load(PAGE)]:
        file = folder / f"history{suffix(one)}"
        write_whole(file, rendered(one, made))
        print(f"history: {file}")


def _name(text: str | None) -> str | None:
    """The name of a suite, which a file says itself."""
    if text is None or not text.endswith((".yaml", ".yml")):
        return text
    from polybench.plan.check import load_suite

    return load_suite(Path(text), ()).suite.suite


def _read(kept: Sequence[Kept], metrics: Sequence[str]) -> tuple[list[Session], list[str]]:
    """Each run reduced to what its history needs, one after the other; what cannot be read is a note.

    Raises:
        NothingMeasured: no run can be read, or none has such a metric.
    """
    from polybench.compare.kept_session import distinct, session
    from polybench.run.store import load

    sessions, notes, known = [], [], set[str]()
    for one in kept:
        try:
            run = load(one.path)
        except PolybenchError as problem:
            notes.append(f"Left out: {problem}.")
            continue
        own = session(run, one, metrics)
        own, stored = _stored(own, one.path, notes) if one.shelf == "baseline" else (own, [])
        if not run.records and not stored:
            notes.append(f"Left out: nothing was measured in {one.path}.")
            continue
        known |= {name for of in run.metrics.values() for name, m in of.items() if not m.curve}
        sessions += [*([own] if run.records else []), *stored]
    if not sessions:
        raise NothingMeasured(" ".join(["there is no run that could be shown.", *notes]))
    for name in metrics:
        if not any(name in s.metrics for s in sessions):
            raise NothingMeasured(f"no run of {kept[-1].suite} has a metric {name!r}, {did_you_mean(name, known)}")
    apart, within = distinct(sessions)
    notes += [f"Not shown apart: {part.path}, whose trials are all in {whole.path}." for part, whole in within]
    return apart, notes


def _stored(own: Session, folder: Path, notes: list[str]) -> tuple[Session, list[Session]]:
    """A baseline with the times of its own moment, and each of its other sessions; what cannot be read is a note."""
    from dataclasses import replace

    from polybench.compare.baseline import files
    from polybench.compare.session_file import read
    from polybench.compare.stored_session import told_with

    stored = []
    for file in files(folder):
        try:
            stored.append(told_with(own, read(file), str(file)))
        except PolybenchError as problem:
            notes.append(f"Left out: {problem}.")
    same = next((s for s in stored if own.trials and s.started_at == own.started_at), None)
    if same:
        stored.remove(same)
        own = replace(own, told={**same.told, **own.told})
    return own, stored


def _brief(made: Document, suite: str | None) -> Document:
    """What a screen has room for: the answer, and where the rest is."""
    from polybench.report.formats.terminal import brief

    again = " ".join(filter(None, ["polybench history", suite]))
    return brief(made, [], f"{{rest}}: {again} --table NAME prints one")
