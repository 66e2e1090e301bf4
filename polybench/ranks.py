"""Several processes that train one model, seen from outside: which of them this is, and what they share.

torchrun starts this program once a process and says in variables which one it is. Every process goes through
the same jobs in the same order, each with a worker of its own; only rank 0 keeps and says anything.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from polybench.cell import RENDEZVOUS, Job
from polybench.kind import kind_of


@dataclass(frozen=True)
class Place:
    """Rank of this process among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """What torchrun's variables say; alone where there are none."""
    try:
        return (
            Place(int(environment["RANK"]), int(environment["WORLD_SIZE"])) if environment["MASTER_ADDR"] else Place()
        )
    except (KeyError, ValueError):
        return Place()


def shared(jobs: Sequence[Job]) -> list[Job]:
    """The jobs that all processes do together: those of kinds repeated over seeds, which train.

    Each gets a process of its own and a meeting point of its own: a rank that failed in one job is then dead to
    the others at once, and what it left in torchrun's store cannot be taken for the next job's.
    """
    return [
        replace(job, environment=(*job.environment, (RENDEZVOUS, f"{job.trials[0].id}/{job.trials[0].rate}")))
        for job in jobs
        if divided(job)
    ]


def divided(job: Job) -> bool:
    """Whether several processes do the job together."""
    return kind_of(job.trials[0].cell.kind).repeats == "seeds"
