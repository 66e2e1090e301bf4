"""The command line: arguments in, exit code out. Everything else is done elsewhere."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from polybench.cli.baseline import baseline
from polybench.cli.calibrate import calibrate
from polybench.cli.compare import compare
from polybench.cli.doctor import doctor
from polybench.cli.eval import evaluate
from polybench.cli.export import export
from polybench.cli.gate import gate
from polybench.cli.history import history
from polybench.cli.judge import judge
from polybench.cli.learned import learned
from polybench.cli.list import list_
from polybench.cli.merge import merge
from polybench.cli.plan import plan
from polybench.cli.pool import pool
from polybench.cli.report import report
from polybench.cli.run import run
from polybench.cli.selfcheck import selfcheck
from polybench.cli.suites import init, schema, validate
from polybench.cli.trace import trace
from polybench.errors import A_LINE, Escape, PolybenchError, cut
from polybench.interrupt import contained, listen
from polybench.saying import PLAIN, say, unread

INTERRUPTED = 130  # which typer makes of a KeyboardInterrupt


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room is left: on the disk, of a quota, under `ulimit -f`
# What the system says of any path that it is asked for, and what to do about it.
_REFUSED = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "get access to it, or name another"),
    errno.ENAMETOOLONG: "name a shorter one",
}


class _Commands(TyperGroup):
    """Commands out of which nothing that others raise ends this program."""

    def invoke(self, ctx: Any) -> Any:
        with contained():
            return super().invoke(ctx)


app = typer.Typer(
    name="polybench",
    cls=_Commands,
    help="What does each feed-forward activation cost in time and memory, and what does it buy in loss?",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; every failure of the user's is one sentence and an exit code."""
    listen()
    _open_streams()
    try:
        code = app(standalone_mode=False)  # typer.Exit is not raised to here, its code is returned
    except PolybenchError as problem:
        _end(problem.exit_code, str(problem))
    except Escape as problem:
        _end(2, f"{_module(problem.__cause__ or problem)} is broken: {problem}")
    except (KeyboardInterrupt, typer.Abort):
        _end(INTERRUPTED, "interrupted")
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno in _FULL:
            where = f" to {problem.filename}" if problem.filename else ""
            _end(3, f"nothing more can be written{where}: {problem.strerror}; make room, and say it again")
        if isinstance(problem, OSError) and problem.errno in _REFUSED and problem.filename:
            _end(2, f"{cut(str(problem.filename), A_LINE)}: {problem.strerror}; {_REFUSED[problem.errno]}")
        show = getattr(problem, "format_message", None)  # what typer itself raises about arguments
        if show is None:
            _end(3, _defect(problem))
        _end(2, f"{show()} See polybench --help." if sys.argv[1:] else show())  # which is the help itself
    if code == INTERRUPTED:
        _end(code, "interrupted")
    sys.exit(code if isinstance(code, int) else 0)


def _open_streams() -> None:
    """A stream that the caller closed, as `>&-` does, is None in Python, and the next file would take its number; one
    whose reader leaves ends nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
        elif stream is getattr(sys, f"__{name}__") and mode == "w":
            setattr(sys, name, unread(stream))
        elif isinstance(stream, io.TextIOWrapper) and mode == "w":
            stream.reconfigure(errors=PLAIN)


def _defect(problem: Exception) -> str:
    """Keep the traceback of a defect of ours in a file; what was measured is on disk already."""
    import tempfile

    with tempfile.NamedTemporaryFile(
        "w", prefix="polybench-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
    ) as file:
        traceback.print_exception(problem, file=file)
    return f"polybench itself failed, {type(problem).__name__}: {problem}; please report it with {file.name}"


def _module(problem: BaseException) -> str:
    """The module in which it was raised."""
    *_, (frame, _) = traceback.walk_tb(problem.__traceback__)
    return str(frame.f_globals.get("__name__", ""))


def _end(code: int, sentence: str) -> NoReturn:
    say(sentence)
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


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the search for cycles: what a command of seconds reads lives to its end, and there is much to search."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


_LONG: tuple[Callable[..., None], ...] = (run, compare, judge, calibrate, doctor, selfcheck, trace)  # measure, or serve
_COMMANDS: tuple[Callable[..., None], ...] = (
    run, report, pool, gate, compare, judge, calibrate, merge, plan, validate, schema, init, doctor, selfcheck, trace,
    history, export, learned,
)  # fmt: skip
for command in _COMMANDS:
    app.command()(command if command in _LONG else _uncollected()(command))
app.command(name="eval")(evaluate)
app.command(name="list")(list_)
app.add_typer(baseline)
