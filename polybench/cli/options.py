"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
