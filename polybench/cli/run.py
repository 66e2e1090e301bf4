"""`polybench run`: measure a suite here, a part of it, over a cluster, or by several processes."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polybench.cli.options import DeviceOption, Filter, Json, Overrides, ShardOption
from polybench.cli.suites import show_plan, show_plan_of
from polybench.errors import Stopped, UsageError

if TYPE_CHECKING:
    from polybench.run.session import Session


def run(
    suite: Annotated[Path | None, typer.Argument(metavar="SUITE", help="a suite file")] = None,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="go on with this run")] = None,
    filter: Filter = None,
    set_: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show the plan and stop")] = False,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="a new folder for the results")] = None,
    device: DeviceOption = None,
    profile: Annotated[bool, typer.Option("--profile", help="record a profiler's traces after the timing")] = False,
    shard: ShardOption = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="slurm|local", help="measure in cluster jobs (submitit), then merge")
    ] = None,
    cluster_jobs: Annotated[int, typer.Option(metavar="N", min=1, help="how many cluster jobs at most")] = 4,
    cluster_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="for submitit: timeout_min, cpus_per_task, slurm_partition, ..."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="resume although code, suite or machine changed")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
    as_json: Json = False,
) -> None:
    """Measure a suite and keep every number under results/.

    --shard 2/3 measures the second of three parts; `polybench merge` makes one run of them. --cluster slurm does
    both by SLURM jobs and waits for them; --resume RUN --cluster slurm sends in again what was lost.
    """
    from polybench.plan.check import load_suite
    from polybench.plan.shard import Shard
    from polybench.ranks import place
    from polybench.run import session, store

    if not place().leads:
        from polybench.run.team import follow

        follow(place().rank)
        return
    if suite is None and resume is None:
        raise UsageError("say which suite to run, for example polybench run suites/quick.yaml")
    resolved = load_suite(suite, set_ or (), device).suite if suite else None
    if resolved and profile:
        resolved = session.profiled(resolved)
    part = Shard.parse(shard) if shard else None
    order = _order(cluster, cluster_jobs, cluster_option, part, resolved)
    if resume is not None:
        if suite is None and (set_ or device or profile):
            raise UsageError("-s, --device and --profile need the suite beside --resume")
        if filter or bool(out) != bool(part):
            raise UsageError(
                "--resume keeps the run's own --filter and folder, so leave --filter and --out away; "
                "to measure a part of what is left elsewhere, say both --shard and --out"
            )
        current = _again(store.find(resume), resolved, part, out, force, bool(order))
    else:
        assert resolved
        if dry_run:
            show_plan_of(resolved, filter, as_json, part)
            return
        if order:
            _check(order, resolved, filter)
        current = session.begin(resolved, out, filter, str(suite), part, bool(order))
    if dry_run:
        show_plan(current.todo, current.header["device"], as_json)
        return
    try:
        _measure(current, order, force, quiet)
    except KeyboardInterrupt:
        kept = len(store.load(current.path).records)
        raise Stopped(f"interrupted; {kept} trials are kept in {current.path}; {_on(current.path, cluster)}") from None
    _tell(current.path, as_json, cluster)


def _again(path: Path, resolved: Any, part: Any, out: Path | None, force: bool, sent: bool) -> Session:
    """The run as it is left, or a part of what is left in a folder of its own."""
    from polybench.run import session
    from polybench.run.cluster import leftovers
    from polybench.run.merge import adopt

    if part and out:
        return session.part_of(session.resume(path, resolved, force, remote=True), part, out)
    if found := leftovers(path):  # of cluster jobs that nobody waited for
        adopt(path, found)
    return session.resume(path, resolved, force, remote=sent)


def _order(cluster: str | None, jobs: int, options: list[str] | None, part: Any, suite: Any) -> Any:
    """What is wanted of a cluster, None without one."""
    if cluster is None:
        if options:
            raise UsageError("--cluster-option needs --cluster slurm or --cluster local")
        return None
    from polybench.run.cluster import Order

    if part:
        raise UsageError("--cluster makes the parts itself, so leave --shard away; --cluster-jobs says how many")
    order = Order.of(cluster, jobs, options or ())
    if suite and suite.device == "auto" and order.remote:
        raise UsageError("--cluster slurm: say --device cpu or cuda, since what the nodes have is not seen from here")
    return order


def _check(order: Any, suite: Any, pattern: str | None) -> None:
    """What would fail is said before a folder is made."""
    from polybench.machine.environment import choose_device
    from polybench.plan.jobs import plan
    from polybench.run.cluster import check

    check(order, plan(suite, suite.device if order.remote else choose_device(suite.device), pattern).jobs)


def _measure(current: Session, order: Any, force: bool, quiet: bool) -> None:
    from polybench.ranks import place
    from polybench.run import cluster, local, team, torchrun
    from polybench.run.progress import shown

    size = place().size
    if order:
        cluster.carry_out(current, order, force, lambda line: None if quiet else print(line, file=sys.stderr))
    elif current.suite.launcher and size == 1:
        torchrun.carry_out(current, quiet)
    elif size > 1:
        with shown(current, quiet) as tell, team.lead(size) as together:
            local.carry_out(current, tell, together=together)
    else:
        with shown(current, quiet) as tell:
            local.carry_out(current, tell)


def _tell(path: Path, as_json: bool, cluster: str | None) -> None:
    """Where the results are and how it went; the exit code follows."""
    from polybench.run import local, store
    from polybench.run.merge import missing

    found = store.load(path)
    if absent := missing(found):
        code, reason = (
            3,
            (f"{len(absent)} of {found.header['planned']} trials are missing, first {absent[0]}; {_on(path, cluster)}"),
        )
    else:
        code, reason = local.outcome(found.records)
    if as_json:
        print(json.dumps({"run": str(path), "exit_code": code, "reason": reason}))
    else:
        print(f"results: {path}")
        if any(r.artifacts for r in found.records):
            print(f"traces: polybench trace {shlex.quote(str(path))}")
    print(reason, file=sys.stderr, flush=True)
    raise typer.Exit(code)


def _on(path: Path, cluster: str | None) -> str:
    more = f" --cluster {cluster}" if cluster else ""
    return f"go on with: polybench run --resume {shlex.quote(str(path))}{more}"
