"""`polybench run`: measure a suite here, a part of it, over a cluster, or by several processes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polybench.cli.options import DeviceOption, Filter, Json, Out, Overrides, Quiet, ShardOption
from polybench.cli.plan import planned, show
from polybench.errors import ResultsError, Stopped
from polybench.saying import say

if TYPE_CHECKING:
    from polybench.cli.request import Request
    from polybench.run.order import Order
    from polybench.run.session import Session


def run(
    suite: Annotated[Path | None, typer.Argument(metavar="SUITE", help="a suite file")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="go on with this run")] = None,
    filter: Filter = None,
    set_: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    out: Out = None,
    device: DeviceOption = None,
    profile: Annotated[bool, typer.Option("--profile", help="record a profiler's traces after the timing")] = False,
    shard: ShardOption = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="slurm|local", help="measure in cluster jobs (submitit), then merge")
    ] = None,
    cluster_jobs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="how many cluster jobs at most, 4 if left out")
    ] = None,
    cluster_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="for submitit: timeout_min, cpus_per_task, slurm_partition, ..."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="resume although code, suite or machine changed")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure a suite and keep every number under results/.

    --shard 2/3 measures the second of three parts; `polybench merge` makes one run of them. --cluster slurm does
    both by SLURM jobs and waits for them; --resume RUN --cluster slurm sends in again what was lost.
    """
    from polybench.cli.request import Request
    from polybench.ranks import place
    from polybench.run.store import load
    from polybench.run.team import follow

    if not place().leads:
        follow(place().rank)
        return
    request = Request.of(
        suite=suite,
        resume=resume,
        pattern=filter,
        overrides=set_ or (),
        out=out,
        device=device,
        profile=profile,
        shard=shard,
        cluster=cluster,
        cluster_jobs=cluster_jobs,
        cluster_options=cluster_option or (),
        force=force,
    )
    if dry_run:
        _show(request, as_json)
        return
    with _opened(request, quiet) as (current, release):
        try:
            measure(current, request.order, force, quiet, release)
        except KeyboardInterrupt:
            kept = len(load(current.path).records)
            how = _on(current.path, request.order)
            raise Stopped(f"interrupted; {kept} trials are kept in {current.path}; {how}") from None
    _tell(current, request.order, as_json)


def _show(request: Request, as_json: bool) -> None:
    """What would be measured; no folder is made for it."""
    if request.resume is None:
        assert request.suite
        remote = bool(request.order and request.order.remote)
        show(*planned(request.suite, request.pattern, request.part, remote), request.suite, as_json)
        return
    if not request.part:
        with suppress(ResultsError), _going_on(request, waits=False):
            pass  # where nobody measures it, what cluster jobs have left is brought back first
    left = _resumed(request)
    show(left.todo.shard(request.part), left.header["device"], left.suite, as_json)


@contextmanager
def _opened(request: Request, quiet: bool) -> Iterator[tuple[Session, Callable[[], None]]]:
    """A new run, one gone on with, or a part of what is left of one, in a folder of its own; nobody else measures into
    it until the end, or until what is given beside it is called."""
    from polybench.run import session
    from polybench.run.lock import locked

    if request.resume is not None and not request.part:
        with _going_on(request, quiet) as release:
            yield _resumed(request), release
        return
    if request.resume is None:
        current = _begun(request)
    else:
        assert request.part and request.out
        current = session.part_of(_resumed(request), request.part, request.out)
    with locked(current.path) as release:
        yield current, release


def _begun(request: Request) -> Session:
    from polybench.machine.environment import choose_device
    from polybench.plan.jobs import plan
    from polybench.run import session
    from polybench.run.order import check

    suite, order = request.suite, request.order
    assert suite
    if order:  # what would fail is said before a folder is made
        device = suite.device if order.remote else choose_device(suite.device)
        check(order, plan(suite, device, request.pattern).jobs)
    remote = bool(order and order.remote)
    return session.begin(suite, request.out, request.pattern, request.source, request.part, remote)


@contextmanager
def _going_on(request: Request, quiet: bool = True, waits: bool = True) -> Iterator[Callable[[], None]]:
    """The run is this process's alone, with what cluster jobs that nobody waited for have measured or still measure."""
    from polybench.run import cluster
    from polybench.run.lock import locked
    from polybench.run.store import find

    path = find(request.resume)
    with locked(path) as release:
        cluster.recover(path, request.order if waits else None, _said(quiet))
        yield release


def _resumed(request: Request) -> Session:
    """The run as it is left."""
    from polybench.run import session
    from polybench.run.store import find

    remote = bool(request.order or request.part)
    return session.resume(find(request.resume), request.suite, request.force, remote)


def measure(
    current: Session, order: Order | None, force: bool, quiet: bool, release: Callable[[], None] = lambda: None
) -> None:
    """Carry out what is left of an open run: here, by several processes that take over its lock, or by cluster jobs."""
    from polybench.ranks import place
    from polybench.run import cluster, local, team, torchrun
    from polybench.run.progress import shown

    size = place().size
    if order:
        cluster.carry_out(current, order, force, _said(quiet))
    elif current.suite.launcher and size == 1:
        torchrun.carry_out(current, quiet, release)
    elif size > 1:
        with shown(current, quiet) as tell, team.lead(size) as together:
            local.carry_out(current, tell, together=together)
    else:
        with shown(current, quiet) as tell:
            local.carry_out(current, tell)


def _said(quiet: bool) -> Callable[[str], None]:
    return lambda line: None if quiet else say(line)


def _tell(current: Session, order: Order | None, as_json: bool) -> None:
    """Where the results are and how it went; the exit code follows."""
    from polybench.run import local, store
    from polybench.run.merge import missing

    path, before = current.path, current.stored
    unchanged = before is not None and not (order or current.todo.jobs)
    run = replace(before, header=current.header) if before and unchanged else store.load(path)
    if absent := missing(run):
        where = f"{len(absent)} of {run.header['planned']} trials are missing, first {absent[0]}"
        code, reason = 3, f"{where}; {_on(path, order)}"
    else:
        code, reason = local.outcome(run.records, current.todo.labels)
    if as_json:
        print(json.dumps({"run": str(path), "exit_code": code, "reason": reason}))
    else:
        print(f"results: {path}")
        if any(r.artifacts for r in run.records):
            print(f"traces: polybench trace {shlex.quote(str(path))}")
    say(reason)
    raise typer.Exit(code)


def _on(path: Path, order: Order | None) -> str:
    more = f" --cluster {order.executor}" if order else ""
    return f"go on with: polybench run --resume {shlex.quote(str(path))}{more}"
