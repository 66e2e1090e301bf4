"""The commands about suites: they read, check and show, and measure nothing."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from polybench.cli.options import Overrides
from polybench.errors import UsageError


def validate(
    suites: Annotated[list[Path], typer.Argument(metavar="SUITE...", help="suite files")],
    set_: Overrides = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="print every value and where it came from")] = False,
) -> None:
    """Find every mistake of a suite without measuring anything."""
    from polybench.errors import SuiteError
    from polybench.plan.check import load_suite
    from polybench.plan.resolved import lines

    problems: list[Any] = []
    for path in suites:
        try:
            found = load_suite(path, set_ or ())
        except SuiteError as failure:
            problems += failure.problems
            continue
        print("\n".join(lines(found)) if resolved else f"{path}: ok")
    if problems:
        raise SuiteError(problems)


def schema() -> None:
    """Print the JSON schema of a suite, for editors."""
    from polybench.plan.schema import schema_text

    print(schema_text(), end="")


def init(
    path: Annotated[Path, typer.Argument(metavar="[FILE]", help="the new file")] = Path("suite.yaml"),
) -> None:
    """Write a commented suite to start from."""
    from polybench.plan.schema import starter
    from polybench.plan.suite import KEPT_NAMES

    if path.stem.lower() in KEPT_NAMES:
        raise UsageError(
            f"a suite cannot be called {path.stem}, for its results folder holds other runs; take another name"
        )
    if path.exists():
        raise UsageError(f"{path} is there already, so nothing was written; name another file")
    try:
        path.write_text(starter(path.stem), encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}") from None
    print(f"wrote {path}; measure it with: polybench run {shlex.quote(str(path))}")
