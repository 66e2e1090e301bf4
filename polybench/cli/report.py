"""`polybench report`: the answer of a run on the screen, its tables by name, and its report as files."""

from __future__ import annotations

import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.errors import NothingMeasured, RegistryError, ResultsError, UsageError, did_you_mean, in_short, reason
from polybench.interrupt import contained

if TYPE_CHECKING:
    from polybench.document import Document
    from polybench.registry import Loaded
    from polybench.run.store import Run

SCREEN = "terminal"  # the format that a terminal shows shortened
_PIECE = 1 << 20  # characters that are encoded at a time


def table_names(context: typer.Context, incomplete: str) -> list[str]:
    """What --table may be completed to, from the last report of the run, since making one takes seconds."""
    from polybench.errors import PolybenchError
    from polybench.run.store import find

    try:
        # An option that still lacks its value ends the parsing, which leaves arguments before it in `args`.
        runs = context.params.get("runs") or context.args or [None]
        data = json.loads((find(runs[0]) / "report.json").read_text(encoding="utf-8"))
        return [t["key"] for t in data["tables"] if t["key"].startswith(incomplete)]
    except (PolybenchError, OSError, ValueError, LookupError, TypeError):
        return []


def report(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="runs; the latest if left out")] = None,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="print this table and write no files", autocompletion=table_names),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="print every table on a terminal too")] = False,
    format: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="print this format, such as markdown, latex or csv")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write the files here, not beside the records")
    ] = None,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="what these runs together say of the claims of arXiv:2411.03884")
    ] = False,
) -> None:
    """Print the answer of a run, and write its report files.

    A terminal gets the answer, the overview and what went wrong; a pipe gets every table. With --format one format is
    printed, or with --out too written. `--format csv` has every value as plain text, which report.csv.gz holds packed.
    With --ledger the runs are one page, written to results/ledger or --out; a folder stands for all runs in it.
    """
    from polybench.document import joined
    from polybench.files import make_folder
    from polybench.registry import formats
    from polybench.report.compose import compose
    from polybench.run.store import find, load, runs_in

    if table and out:
        raise UsageError("--table prints a table and writes nothing, so leave --out away")
    chosen = loaded(format or ([SCREEN] if table else None))
    below = {text: [str(path) for path in runs_in(Path(text))] for text in runs or () if ledger}
    wanted: list[str | None] = [one for text in runs or () for one in below.get(text) or [text]] or [None]
    found = [(text, load(find(text))) for text in wanted]
    for _, run in found:
        if not run.records:
            raise NothingMeasured(f"nothing was measured in {run.path}, so there is nothing to report")
    if ledger:
        _ledger([run for _, run in found], table, chosen, bool(format), out)
        return
    documents = [only(compose(run), table) if table else compose(run) for _, run in found]
    brief = sys.stdout.isatty() and not (table or all_)
    shown = [_brief(run, d, text) if brief else d for (text, run), d in zip(found, documents, strict=True)]
    if table or (format and not out):
        for one in chosen:
            for document in shown if one.name == SCREEN else [joined(documents)]:
                emit(one, document)
        return
    folders = _folders(out, [run for _, run in found])
    for folder, document, short in zip(folders, documents, shown, strict=True):
        make_folder(folder)
        if not format:
            emit(formats.load(SCREEN), short)
        _write([one for one in chosen if format or one.name != SCREEN], document, folder, wanted=bool(format or out))


def _folders(out: Path | None, runs: Sequence[Run]) -> list[Path]:
    """Where the report of each run is written: of several under `out` by their names, and of one name each its own."""
    if out is None or len(runs) == 1:
        return [out or run.path for run in runs]
    found: dict[Path, Path] = {}  # of each run, of which one may be named twice
    for run in runs:
        taken, place, number = set(found.values()), out / run.name, 2
        while place in taken:
            place, number = out / f"{run.name}-{number}", number + 1
        found.setdefault(run.path.resolve(), place)
    return [found[run.path.resolve()] for run in runs]


def _ledger(
    runs: Sequence[Run], table: list[str] | None, chosen: Sequence[Loaded], asked: bool, out: Path | None
) -> None:
    """The page of what all of the runs say together."""
    from polybench.files import make_folder
    from polybench.registry import formats
    from polybench.report.ledger import LEDGER, document
    from polybench.run.store import ROOT

    made = document(runs)
    if table or (asked and not out):
        for one in chosen:
            emit(one, only(made, table) if table else made)
        return
    folder = out or ROOT / LEDGER
    make_folder(folder)
    if not asked:
        emit(formats.load(SCREEN), made)
    _write([one for one in chosen if asked or one.name != SCREEN], made, folder, wanted=True)


def _write(chosen: Sequence[Loaded], document: Document, folder: Path, wanted: bool) -> None:
    """Report files, and where they are. What cannot be made or written is told, or an error if it was `wanted`."""
    from polybench.files import write_whole

    kept: list[Path] = []
    for one in chosen:
        file = folder / f"report{suffix(one)}"
        try:
            write_whole(file, rendered(one, document))
            kept.append(file)
        except ResultsError as problem:
            if wanted:
                raise
            print(f"{problem}, so there is no {file.name}", file=sys.stderr)
    page = folder / "report.html"
    if not kept and chosen:
        print("no report was written; --out DIR writes it elsewhere", file=sys.stderr)
    else:
        print(f"report: {page if page in kept else folder}")


def loaded(asked: Sequence[str] | None) -> list[Loaded]:
    """The formats asked for, else all that need no asking: of these one that is broken is told, and left out.

    Raises RegistryError where one that is asked for is unknown or broken.
    """
    from polybench.registry import formats

    found = []
    for name in asked or formats.names():
        try:
            one = formats.load(name)
            suffix(one)
        except RegistryError as problem:
            if asked:
                raise
            print(f"{problem}, so nothing is written in it", file=sys.stderr)
            continue
        if asked or not one.facts.get("on_request"):
            found.append(one)
    return found


def suffix(format: Loaded) -> str:
    """How the name of a file in this format ends. Raises RegistryError where it does not say so."""
    found = format.facts.get("suffix")
    if not isinstance(found, str):
        told = f'write @formats.register("{format.name}", suffix=".txt") with its own'
        raise RegistryError(f"format {format.name!r} says no suffix for its files; {told}")
    return found


def rendered(format: Loaded, document: Document) -> str | bytes:
    """The document in a format. Raises ResultsError where the format, which may be somebody else's, breaks on it."""
    try:
        with contained():
            made = format.object(document)
    except NothingMeasured:
        raise
    except Exception as problem:
        raise ResultsError(f"{document.title} cannot be made into {format.name} ({reason(problem)})") from problem
    if not isinstance(made, str | bytes):
        what = f"it returns {type(made).__name__}, neither str nor bytes"
        raise ResultsError(f"{document.title} cannot be made into {format.name} ({what})")
    return made


def only(document: Document, names: Sequence[str]) -> Document:
    """The tables of these names, in this order. Raises UsageError on any other."""
    known = {t.key: t for t in document.tables}
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            listed = f" It has {', '.join(known)}." if near.startswith("did") else ""
            raise UsageError(f"{document.title} has no table {in_short(name)}, {near}{listed}")
    return replace(document, findings=(), tables=tuple(known[name] for name in names), notes=())


def _brief(run: Run, document: Document, text: str | None) -> Document:
    """What a screen has room for, with how trials ended that did not end well."""
    from polybench.record import Status
    from polybench.report.formats.terminal import brief
    from polybench.run.planned import labels

    ended: dict[tuple[Status, str], list[str]] = defaultdict(list)
    if lost := [r for r in run.records if r.status is not Status.OK]:
        names = labels(run)  # which plans the suite anew
        for record in lost:
            ended[record.status, record.error].append(names.of_trial(record.trial))
    troubles = [f"{len(of)} {status.words}, first {of[0]}: {why}" for (status, why), of in ended.items()]
    command = shlex.join(["polybench", "report", *([text] if text else [])])
    return brief(document, troubles, f"{{rest}}: {command} --table NAME prints one, --all every one")


def emit(format: Loaded, document: Document) -> None:
    made = rendered(format, document)
    if isinstance(made, str):
        for start in range(0, len(made), _PIECE):
            sys.stdout.write(made[start : start + _PIECE])
        sys.stdout.flush()
        return
    if sys.stdout.isatty():
        raise UsageError(f"{format.name} is no text for a terminal; say where to: --out DIR, or > FILE")
    sys.stdout.buffer.write(made)
    sys.stdout.flush()
