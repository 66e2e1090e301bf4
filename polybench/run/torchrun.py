"""`launcher: torchrun` in a suite: this program opens the run, torchrun starts the processes that carry it out.

Run by torchrun as `python -m polybench.run.torchrun RUN`, once a process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from polybench.errors import Lost, PolybenchError, UsageError
from polybench.machine.gpus import gpus
from polybench.ranks import place
from polybench.run import local, store, team
from polybench.run.lock import locked
from polybench.run.progress import shown
from polybench.run.session import Session, resume


def carry_out(current: Session, quiet: bool, release: Callable[[], None]) -> None:
    """Start the processes and wait for them; the run is locked by the one that keeps the records, once this has
    released it.

    Raises:
        UsageError: there are fewer GPUs than processes.
        Lost: a process ended early.
        KeyboardInterrupt: after the processes were stopped.
    """
    count = current.suite.processes
    check_room(current.header["device"], count)
    if not current.todo.jobs:
        return
    store.write_header(current.path, current.header)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    options = [*(["--quiet"] if quiet else []), *(["--force"] if current.forced else [])]
    command = [*torchrun, "-m", "polybench.run.torchrun", str(current.path), *options]
    release()
    process = subprocess.Popen(command, env={"OMP_NUM_THREADS": "1", **os.environ})  # torchrun warns without
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        raise
    if code:
        raise Lost(
            f"one of {count} processes ended early (torchrun said {code}); what was measured is kept, "
            f"go on with: polybench run --resume {current.path}"
        )


def check_room(device: str, count: int) -> None:
    """Raises UsageError when processes would have to share a GPU."""
    found = len(gpus().usable)
    if device == "cuda" and found < count:
        raise UsageError(f"processes: {count} is more than the {found} GPUs that are visible here")


def main() -> None:
    """One of the processes: rank 0 measures and keeps, the others do their share and say nothing."""
    signal.signal(signal.SIGTERM, _interrupt)
    path, quiet, mine = Path(sys.argv[1]), "--quiet" in sys.argv[2:], place()
    try:
        if not mine.leads:
            team.follow(mine.rank)
            return
        with locked(path):
            # What changed was asked about where these processes were started; whether texts may change, too.
            current = replace(resume(path, None, force=True, remote=True), forced="--force" in sys.argv[2:])
            with shown(current, quiet) as tell, team.lead(mine.size) as together:
                local.carry_out(current, tell, together=together)
    except PolybenchError as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        sys.exit(130)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
