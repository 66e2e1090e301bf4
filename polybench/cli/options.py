"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polybench.durations import seconds
from polybench.errors import UsageError

SuiteArgument = Annotated[Path, typer.Argument(metavar="SUITE", help="a suite file, such as suites/quick.yaml")]
Overrides = Annotated[list[str] | None, typer.Option("-s", "--set", metavar="KEY=VALUE", help="change one value")]
Filter = Annotated[
    str | None, typer.Option(metavar="GLOB", help="only trials whose label matches; keeps the reference")
]
DeviceOption = Annotated[str | None, typer.Option(metavar="auto|cpu|cuda", help="where to measure")]
ShardOption = Annotated[
    str | None, typer.Option(metavar="I/N", help="only the I-th of N parts of the plan, such as 2/3")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="a new folder for the results")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress")]
_UNDECIDED = ("report", "pass", "fail")


def _undecided(said: str) -> str:
    if said not in _UNDECIDED:
        raise UsageError(f"--inconclusive {said}: say report, pass or fail")
    return said


Inconclusive = Annotated[
    str,
    typer.Option(metavar="|".join(_UNDECIDED), callback=_undecided, help="what an undecided cell means"),
]


def budget_s(text: str) -> float:
    """Seconds of a --budget. Raises UsageError where it says no time."""
    try:
        return seconds(text)
    except ValueError as problem:
        raise UsageError(f"--budget {text}: {problem}") from None
