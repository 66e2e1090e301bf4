"""How the processes that torchrun started find each other: rank 0 leaves a line in torchrun's store.

Run as `python -m polybench.measure.training.meeting [LINE]` beside a process that must not import torch: with a line
it leaves it, without it waits for it and prints it.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from typing import Any

import torch.distributed

_KEY = "polybench"
_PATIENCE = timedelta(minutes=5)  # for the start of the slowest process


def store(prefix: str, patience: timedelta = _PATIENCE) -> Any:
    """A corner of the store that torchrun keeps for its processes."""
    c10d: Any = torch.distributed  # its stubs leave the stores out
    kept = c10d.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=patience)
    return c10d.PrefixStore(prefix, kept)


def main() -> None:
    """Leave the line, or print it."""
    if len(sys.argv) > 1:
        store(_KEY).set(_KEY, sys.argv[1])
    else:
        print(store(_KEY).get(_KEY).decode())


if __name__ == "__main__":
    main()
