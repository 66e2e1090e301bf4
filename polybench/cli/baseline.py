"""`polybench baseline`: what runs are held against, kept under results/baselines."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polybench.cli.options import Json
from polybench.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from polybench.compare.baseline import Baseline
    from polybench.compare.calibration import Standing

baseline = typer.Typer(
    name="baseline",
    help="Keep, show and compare what runs are held against.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="a baseline under results/baselines, or its folder")]


@baseline.command()
def save(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="the run to keep; the latest if left out")] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="what it is called; its suite's name if left out")] = "",
    renew: Annotated[bool, typer.Option("--renew", help="take this run's bytes, counts and losses instead")] = False,
) -> None:
    """Keep a run, its times as one more session of its machine."""
    from polybench.compare.keeping import save as keep
    from polybench.run import store

    found = store.load(store.find(run))
    folder = folder_of(name or found.suite.suite)
    with alone(folder):
        kept = keep(found, folder, renew)
    print(f"{kept.records} records in {folder}" + (f", and the session {kept.session}" if kept.session else ""))


@baseline.command(name="list")
def list_(as_json: Json = False) -> None:
    """Name every baseline, its machines and their sessions."""
    from polybench.compare.baseline import load, names

    found = [load(path) for path in names()]
    if as_json:
        print(json.dumps([_summary(one) for one in found], indent=1))
        return
    for one in found:
        counts = {name: len(sessions) for name, sessions in one.machines.items()}
        times = ", ".join(f"{name} {n} session{'s' * (n > 1)}" for name, n in counts.items()) or "no times"
        print(f"{one.name}: suite {one.run.suite.suite}, {len(one.run.records)} records; {times}")
    if not found:
        print("no baseline is kept yet; polybench baseline save keeps the latest run")


@baseline.command()
def show(name: Name, as_json: Json = False) -> None:
    """Say what a baseline holds and what it can find."""
    from polybench.compare.baseline import load
    from polybench.report.baseline import document
    from polybench.report.formats.terminal import terminal

    one = load(existing(name))
    print(json.dumps(_whole(one), indent=1, allow_nan=False) if as_json else terminal(document(one)).rstrip())


@baseline.command()
def diff(
    name: Name,
    other: Annotated[str | None, typer.Argument(metavar="[OTHER]", help="a run or a baseline; the latest run")] = None,
    as_json: Json = False,
) -> None:
    """Say what a run or another baseline has otherwise.

    Counts exactly, losses and times with their intervals; no rule is applied.
    """
    from polybench.compare.baseline import find, load
    from polybench.compare.moved import moved, sentence

    found = moved(load(existing(name)), load(find(other)))
    if as_json:
        from polybench.report.formats.data import plain

        print(json.dumps(plain([{**asdict(m), "metric": m.metric.name} for m in found]), indent=1))
        return
    told = [m for m in found if m.told]
    for one in told:
        print(sentence(one))
    print(f"{len(told)} of {len(found)} values differ; of the others no difference is shown")


@baseline.command()
def drop(
    name: Name,
    machine: Annotated[str, typer.Option(metavar="FOLDER", help="only the sessions of this machine")] = "",
    session: Annotated[str, typer.Option(metavar="FILE", help="only this session, such as 2026-11-26T09-00-00")] = "",
) -> None:
    """Remove a baseline, or some of its sessions."""
    from polybench.compare.baseline import files
    from polybench.compare.keeping import drop as remove

    path, stem = existing(name), session.removesuffix(".json")
    with alone(path):
        chosen = None
        if machine or session:
            there = files(path)
            chosen = [f for f in there if machine in ("", f.parent.name) and stem in ("", f.stem)]
            if not chosen:
                known = {f.stem if session else f.parent.name for f in there}
                what = f"--session {session}" if session else f"--machine {machine}"
                raise UsageError(f"{what}: {path} has no such sessions, {did_you_mean(session or machine, known)}")
        print(f"removed {remove(path, chosen)} files of {path}")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else adds to a baseline or takes from it meanwhile. Raises ResultsError where somebody does."""
    from polybench.files import make_folder
    from polybench.run.lock import locked

    make_folder(folder)
    try:
        with locked(folder, stays=False):
            yield
    finally:
        with suppress(OSError):
            folder.rmdir()  # of one that holds nothing


def folder_of(name: str) -> Path:
    """Where a baseline of that name, or in that folder, lies or would lie."""
    from polybench.compare.baseline import FOLDER

    name = name.rstrip("/") or name
    if "/" in name:
        return Path(name)
    if not name or len(name) > 100 or name.startswith((".", "-")) or not all(c.isalnum() or c in "._-" for c in name):
        raise UsageError(f"--name {name!r}: use letters, digits, dot, dash and underscore; it becomes a folder")
    return FOLDER / name


def existing(name: str) -> Path:
    """The folder of a baseline, by its name before a path, so that none is dropped in place of a baseline."""
    from polybench.compare.baseline import FOLDER, names
    from polybench.run.store import RUN_FILE

    if "/" not in name and os.path.isfile(os.path.join(FOLDER, name, RUN_FILE)):
        return FOLDER / name
    if name and os.path.isfile(os.path.join(name, RUN_FILE)):  # Path.is_file raises on a name too long
        return Path(name)
    path = folder_of(name)
    if not os.path.isfile(path / RUN_FILE):
        near = did_you_mean(name, (p.name for p in names()))
        raise UsageError(f"there is no baseline {name!r} under {FOLDER}/, {near}")
    return path


def _summary(one: Baseline) -> dict[str, Any]:
    return {
        "name": one.name,
        "suite": one.run.suite.suite,
        "folder": str(one.run.path),
        "records": len(one.run.records),
        "machines": {name: [s.started_at for s in sessions] for name, sessions in one.machines.items()},
    }


def _whole(one: Baseline) -> dict[str, Any]:
    from polybench.compare.calibration import Calibration

    times = {}
    for name, sessions in one.machines.items():
        times[name] = [_standing(s) for s in Calibration(one, sessions).standings()]
    return {"schema_version": 1, **_summary(one), "times": times}


def _standing(one: Standing) -> dict[str, Any]:
    """JSON has no infinity: what no change is large enough for is null."""
    found = {**asdict(one), "metric": one.metric.name, "unit": one.metric.unit, "missing": one.missing}
    if one.bounds:
        known = asdict(one.bounds)
        found["bounds"] = {k: v if math.isfinite(v) else None for k, v in known.items()}
    return found
