"""`polybench calibrate`: sessions of equal code, until a baseline knows how far they lie apart on this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.cli.options import DeviceOption, Json, Overrides, Quiet, SuiteArgument
from polybench.errors import Stopped, UsageError
from polybench.saying import say

if TYPE_CHECKING:
    from polybench.plan.suite import Suite
    from polybench.run.store import Run


def calibrate(
    suite: SuiteArgument,
    sessions: Annotated[int, typer.Option(metavar="N", min=1, help="how many this machine is to have in all")] = 20,
    name: Annotated[str, typer.Option(metavar="NAME", help="of the baseline; the suite's if left out")] = "",
    set_: Overrides = None,
    device: DeviceOption = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how far equal code drifts from session to session.

    Each session is a run in fresh processes and becomes part of the baseline.

    The first session is a whole run under results/, the others measure what is gated of times and leave nothing but
    that. It goes on where it was interrupted, and then says of every time from which change on it would fail.
    """
    from polybench.cli.baseline import alone, folder_of, show
    from polybench.plan.check import load_suite

    whole = load_suite(suite, set_ or (), device).suite
    if not whole.gate:
        raise UsageError(f"{suite} has no gate: rules, so there is nothing to calibrate")
    timed, folder = of_times(whole), folder_of(name or whole.suite)
    if timed is None:
        raise UsageError(f"no gate rule of {suite} is of a time; polybench baseline save keeps the rest of a run")
    with alone(folder):
        options = [*(("--name", name) if name else ()), *(("--device", device) if device else ())]
        options += [word for one in set_ or () for word in ("-s", one)]
        again = shlex.join(["polybench", "calibrate", str(suite), "--sessions", str(sessions), *options])
        _add(whole, timed, folder, sessions, str(suite), quiet, again)
    show(str(folder), as_json)


def _add(whole: Suite, timed: Suite, folder: Path, sessions: int, source: str, quiet: bool, again: str) -> None:
    """Sessions to a baseline that is this process's alone, until this machine has so many."""
    from polybench.compare.baseline import load
    from polybench.compare.keeping import save
    from polybench.machine.environment import capture, nickname
    from polybench.run.store import RUN_FILE

    known = load(folder) if (folder / RUN_FILE).is_file() else None
    there = len(known.machines.get(nickname(capture()), ())) if known else 0
    for number in range(there + 1, sessions + 1):
        say(f"session {number} of {sessions}")
        try:
            if known or number > 1:
                with TemporaryDirectory() as place:
                    save(measured(timed, source, quiet, Path(place) / whole.suite), folder)
            else:
                save(measured(whole, source, quiet), folder)
        except KeyboardInterrupt:
            raise Stopped(f"interrupted; {number - 1} sessions are kept in {folder}; go on with: {again}") from None


def of_times(suite: Suite) -> Suite | None:
    """The suite with those of its benchmarks that have gated times; None without any."""
    from polybench.compare.sessions import is_timed
    from polybench.kind import kind_of

    gated = {rule.metric for rule in suite.gate}
    kept = [b for b in suite.benchmarks if any(is_timed(m) for n, m in kind_of(b.kind).named.items() if n in gated)]
    return suite.model_copy(update={"benchmarks": kept}) if kept else None


def measured(suite: Suite, source: str, quiet: bool, out: Path | None = None) -> Run:
    """A run of the suite in fresh processes, under results/ or in a new folder. Raises Lost where a trial fails."""
    from polybench.cli.run import measure
    from polybench.errors import Lost
    from polybench.run import local, planned, session, store
    from polybench.run.lock import locked

    current = session.begin(suite, out, None, source)
    with locked(current.path) as release:
        measure(current, None, False, quiet, release)
    found = store.load(current.path)
    code, reason = local.outcome(found.records, planned.labels(found))
    if code:
        raise Lost(f"{current.path}: {reason}")
    return found
