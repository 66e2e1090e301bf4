"""Which of several processes this one is, by the variables of torchrun."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Rank of this process among `size`, which torchrun started; alone by default."""

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
