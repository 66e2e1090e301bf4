"""The command line: arguments in, exit code out. Everything else is done elsewhere."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer

from polybench.cli.doctor import doctor
from polybench.cli.eval import evaluate
from polybench.cli.merge import merge
from polybench.cli.run import run
from polybench.cli.selfcheck import selfcheck
from polybench.cli.suites import Json, init, list_, plan, schema, validate
from polybench.cli.trace import trace
from polybench.errors import PolybenchError, UsageError

app = typer.Typer(
    name="polybench",
    help="What does each feed-forward activation cost in time and memory, and what does it buy in loss?",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; every failure of the user's is one sentence and an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = app(standalone_mode=False)  # typer.Exit is not raised to here, its code is returned
    except PolybenchError as problem:
        _end(problem.exit_code, str(problem))
    except (KeyboardInterrupt, typer.Abort):
        _end(130, "interrupted")
    except SystemExit as leave:
        # Typer's own 1 is a reader that closed the pipe, which is no regression; ours come from _end.
        sys.exit(0 if leave.code == 1 else leave.code)
    except Exception as problem:
        show = getattr(problem, "format_message", None)  # what typer itself raises about arguments
        if show is None:
            _end(3, _defect(problem))
        _end(2, f"{show()} See polybench --help.")
    sys.exit(code if isinstance(code, int) else 0)


def _defect(problem: Exception) -> str:
    """Keep the traceback of a defect of ours in a file; what was measured is on disk already."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="polybench-", suffix=".txt", delete=False) as file:
        traceback.print_exception(problem, file=file)
    return f"polybench itself failed, {type(problem).__name__}: {problem}; please report it with {file.name}"


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _end(code: int, sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr, flush=True)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        from polybench.machine.environment import version

        print(f"polybench {version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


app.command()(run)


@app.command()
def report(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN...]", help="runs; the latest if left out")] = None,
    format: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="terminal, markdown, html, csv, json")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write the files here, not beside the records")
    ] = None,
) -> None:
    """Print the tables of a run and write its report files; with --format, print that one format."""
    from polybench.registry import formats
    from polybench.report.compose import compose
    from polybench.run.store import find, load, make_folder, write_whole

    chosen = {name: formats.load(name) for name in format or formats.names()}
    wanted: list[str | None] = [*runs] if runs else [None]
    for text in wanted:
        one = load(find(text))
        if not one.records:
            from polybench.errors import NothingMeasured

            raise NothingMeasured(f"nothing was measured in {one.path}, so there is nothing to report")
        document = compose(one)
        if format and not out:
            for entry in chosen.values():
                print(entry.object(document), end="")
            continue
        folder = out or one.path
        if out and len(wanted) > 1:
            folder = out / one.name
        make_folder(folder)
        for name, entry in chosen.items():
            rendered = entry.object(document)
            if name == "terminal" and not format:
                print(rendered)
                continue
            write_whole(folder / f"report{entry.facts['suffix']}", rendered)
        print(f"report: {folder / 'report.html' if 'html' in chosen else folder}")


@app.command()
def gate(
    baseline: Annotated[str, typer.Option(metavar="RUN", help="the run to hold against")] = "",
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="the run to judge; the latest if left out")] = None,
    save: Annotated[Path | None, typer.Option(metavar="DIR", help="keep the run's gated records as a baseline")] = None,
    inconclusive: Annotated[
        str, typer.Option(metavar="report|pass|fail", help="what an undecided cell means")
    ] = "report",
    as_json: Json = False,
) -> None:
    """Judge a run against a baseline by the suite's rules; the exit code says how it went."""
    from polybench.cli.verdicts import as_text, to_json
    from polybench.compare.baseline import keep
    from polybench.compare.derive import with_derived
    from polybench.compare.gate import between, exit_code
    from polybench.compare.grid import compared
    from polybench.machine.environment import unrecorded
    from polybench.run import store

    if inconclusive not in ("report", "pass", "fail"):
        raise UsageError(f"--inconclusive {inconclusive}: say report, pass or fail")
    if bool(baseline) == bool(save):
        raise UsageError("say --baseline RUN to judge a run, or --save DIR to keep one as a baseline")
    found = store.load(store.find(run))
    if save:
        print(f"kept {keep(with_derived(compared(found)), save)} records in {save}")
        return
    before = store.load(store.find(baseline))
    verdicts = between(*(with_derived(compared(one)) for one in (before, found)))
    if unknown := unrecorded(before.environment, found.environment):
        print(f"not compared, since one of the runs does not record it: {', '.join(unknown)}", file=sys.stderr)
    how: Literal["report", "pass", "fail"] = inconclusive  # type: ignore[assignment]
    code, reason = exit_code(verdicts, how)
    broken = [r for r in found.records if r.status.broken]
    if broken and code in (0, 1, 4):
        first = broken[0]
        code, reason = (
            3,
            f"gate broken: {len(broken)} trials of the run failed, first {first.trial.label}: {first.error}",
        )
    print(json.dumps(to_json(verdicts, code, reason), indent=1) if as_json else as_text(verdicts))
    if not as_json:
        print(reason)
    raise typer.Exit(code)


for command in (merge, plan, validate, schema, init, doctor, selfcheck, trace):
    app.command()(command)
app.command(name="eval")(evaluate)
app.command(name="list")(list_)
