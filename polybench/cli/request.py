"""What `polybench run` is asked for: options that go together, each parsed into what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from polybench.errors import UsageError

if TYPE_CHECKING:
    from polybench.plan.shard import Shard
    from polybench.plan.suite import Suite
    from polybench.run.order import Order


@dataclass(frozen=True)
class Request:
    """A suite to begin with, or a run to go on with; `part` and `order` say that not all of it is measured here.

    `resume` is None for a new run; `suite` is None where the run's own counts; `source` is the file it was read from.
    """

    suite: Suite | None
    source: str = ""
    resume: str | None = None
    pattern: str | None = None
    out: Path | None = None
    part: Shard | None = None
    order: Order | None = None
    force: bool = False

    @classmethod
    def of(
        cls,
        *,
        suite: Path | None,
        resume: str | None,
        pattern: str | None,
        overrides: Sequence[str],
        out: Path | None,
        device: str | None,
        profile: bool,
        shard: str | None,
        cluster: str | None,
        cluster_jobs: int | None,
        cluster_options: Sequence[str],
        force: bool,
    ) -> Request:
        """Raises UsageError on options that do not go together, SuiteError on a suite that cannot run."""
        from polybench.plan.check import load_suite
        from polybench.plan.shard import Shard
        from polybench.run.session import profiled

        if suite is None and resume is None:
            raise UsageError("say which suite to run, for example polybench run suites/quick.yaml")
        resolved = load_suite(suite, overrides, device).suite if suite else None
        if resolved and profile:
            resolved = profiled(resolved)
        part = Shard.parse(shard) if shard else None
        order = _order(cluster, cluster_jobs, cluster_options, part, resolved)
        if resume is not None:
            if suite is None and (overrides or device or profile):
                raise UsageError("-s, --device and --profile need the suite beside --resume")
            if pattern or bool(out) != bool(part):
                raise UsageError(
                    "--resume keeps the run's own --filter and folder, so leave --filter and --out away; "
                    "to measure a part of what is left elsewhere, say both --shard and --out"
                )
        return cls(resolved, str(suite), resume, pattern, out, part, order, force)


def _order(
    cluster: str | None, jobs: int | None, options: Sequence[str], part: Shard | None, suite: Suite | None
) -> Order | None:
    """What is wanted of a cluster, None without one."""
    if cluster is None:
        for said, option in ((options, "option"), (jobs, "jobs")):
            if said:
                raise UsageError(f"--cluster-{option} needs --cluster slurm or --cluster local")
        return None
    from polybench.run.order import JOBS, Order

    if part:
        raise UsageError("--cluster makes the parts itself, so leave --shard away; --cluster-jobs says how many")
    order = Order.of(cluster, jobs or JOBS, options)
    if suite and suite.device == "auto" and order.remote:
        raise UsageError("--cluster slurm: say --device cpu or cuda, since what the nodes have is not seen from here")
    return order
