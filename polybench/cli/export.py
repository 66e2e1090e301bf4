"""`polybench export`: a run handed to an experiment tracker."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.errors import NothingMeasured, PolybenchError, ResultsError, UsageError, reason
from polybench.interrupt import contained

if TYPE_CHECKING:
    from polybench.registry import Loaded


def logger_names(incomplete: str) -> list[str]:
    """What --to may be completed to."""
    from polybench.registry import loggers

    return [name for name in loggers.names() if name.startswith(incomplete)]


def export(
    to: Annotated[str, typer.Option(metavar="NAME", help="tensorboard, trackio or wandb", autocompletion=logger_names)],
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="a run; the latest if left out")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="a new or empty folder; RUN/NAME if left out")] = None,
) -> None:
    """Hand the curves and figures of a run to an experiment tracker.

    Each training becomes a run of the tracker, and each cell that was only timed or counted. Nothing leaves this
    machine: what was written is on this disk, and the last line says how to look at it.
    """
    from polybench.files import make_folder
    from polybench.report.tracking import tracked
    from polybench.run.store import find, load

    logger = _installed(to)
    stored = load(find(run))
    if not stored.records:
        raise NothingMeasured(f"nothing was measured in {stored.path}, so there is nothing to export")
    folder = out or stored.path / to
    make_folder(folder)
    if any(folder.iterdir()):
        raise ResultsError(f"{folder} is not empty, and a run is not exported twice into one; say --out DIR")
    found = tracked(stored)
    try:
        with contained(), redirect_stdout(sys.stderr), _threads_raise():  # for trackers talk, and write in threads
            told = logger.object(found, folder)
    except PolybenchError:
        raise
    except Exception as problem:
        raise ResultsError(f"{stored.path} could not be exported to {to} ({reason(problem)})") from problem
    print(f"{folder}: {stored.name} for {to}; next: {told}")


@contextmanager
def _threads_raise() -> Iterator[None]:
    """What ends a thread meanwhile is raised at the end, in place of a traceback amid the output."""
    failed: list[BaseException] = []
    before = threading.excepthook
    threading.excepthook = lambda told: failed.append(told.exc_value or told.exc_type())
    try:
        yield
    finally:
        threading.excepthook = before
    if failed:
        raise failed[0]


def _installed(name: str) -> Loaded:
    """The logger. Raises UsageError where the package it writes for is not installed."""
    from importlib.util import find_spec

    from polybench.registry import loggers

    logger = loggers.load(name)
    package, extra = logger.facts.get("package"), logger.facts.get("extra")
    if package and find_spec(package) is None:
        how = f"`pip install {package}`" + (f" (the extra `{extra}`)" if extra else "")
        raise UsageError(f"{package} is not installed: {how} brings it")
    return logger
