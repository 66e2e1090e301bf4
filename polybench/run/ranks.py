"""Several processes that train one model, seen from outside: which of them this is, and what they share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from polybench.kind import kind_of
from polybench.trial import Job


@dataclass(frozen=True)
class Place:
    """Rank of this process among `size`, which torchrun started."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0


def place(environment: Mapping[str, str] = os.environ) -> Place:
    """What torchrun's variables say; alone where there are none."""
    try:
        here = Place(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    except (KeyError, ValueError):
        return Place()
    return here if "MASTER_ADDR" in environment else Place()


def divided(job: Job) -> bool:
    """Whether several processes do the job together: those of kinds repeated over seeds, which train."""
    return kind_of(job.trials[0].cell.kind).repeats == "seeds"
