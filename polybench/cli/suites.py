"""The commands about suites: they read, check and show, and measure nothing."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from polybench.cli.options import DeviceOption, Filter, Json, Overrides, ShardOption, SuiteArgument
from polybench.errors import UsageError


def plan(
    suite: SuiteArgument,
    filter: Filter = None,
    set_: Overrides = None,
    device: DeviceOption = None,
    shard: ShardOption = None,
    as_json: Json = False,
) -> None:
    """Show what a suite would measure, how many trials that is, and about how long it takes."""
    from polybench.plan.check import load_suite
    from polybench.plan.shard import Shard

    part = Shard.parse(shard) if shard else None
    show_plan_of(load_suite(suite, set_ or (), device).suite, filter, as_json, part)


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

    if path.exists():
        raise UsageError(f"{path} is there already, so nothing was written; name another file")
    try:
        path.write_text(starter(path.stem), encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{path} cannot be written: {problem.strerror}") from None
    print(f"wrote {path}; measure it with: polybench run {shlex.quote(str(path))}")


def show_plan_of(suite: Any, pattern: str | None, as_json: bool, part: Any = None) -> None:
    from polybench.machine.environment import choose_device
    from polybench.plan.jobs import plan as make

    device = choose_device(suite.device)
    made = make(suite, device, pattern)
    show_plan(replace(made, jobs=part.of(made.jobs), later=()) if part else made, device, as_json)


def show_plan(made: Any, device: str, as_json: bool) -> None:
    from polybench.machine.environment import cores

    slots = cores() if device == "cpu" else 1
    seconds = made.seconds(slots)
    if as_json:
        trials = [made.labels.of_trial(t) for t in made.trials]
        print(json.dumps({"trials": trials, "cells": made.cells, "estimated_s": round(seconds, 1), "device": device}))
        return
    for trial in made.trials:
        print(made.labels.of_trial(trial))
    time = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
    print(
        f"{made.cells} cells, {len(made.trials)} trials, about {time} on {device} with {slots} at a time",
        file=sys.stderr,
    )
