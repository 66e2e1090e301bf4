"""How many threads a kernel takes: torch's own number, but one for little work, and one in a copied process.

A fork copies the thread that calls it and none of the others, and OpenMP would wait in the copy for threads that are
not there. So where the process that was copied had several, of OpenMP's or anybody's, the copy computes with one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

GRAIN = 2**15  # numbers of the input below which waking a second thread costs more than it saves


@dataclass
class _Forked:
    """`several`: whether this process had several threads when it was copied; `alone`: whether it is such a copy."""

    several: bool = False
    alone: bool = False

    def before(self) -> None:
        try:
            self.several = len(os.listdir("/proc/self/task")) > 1
        except OSError:
            self.several = True  # nobody tells, so the worst is taken

    def after_in_child(self) -> None:
        self.alone = self.alone or self.several


_forked = _Forked()
os.register_at_fork(before=_forked.before, after_in_child=_forked.after_in_child)


def threads(numbers: int) -> int:
    """For so many numbers of the input."""
    return 1 if numbers < GRAIN or _forked.alone else torch.get_num_threads()
