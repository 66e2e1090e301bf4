"""Inside a cluster job: its part of a run is measured, and gone on with where the job is begun anew."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from polybench.errors import Stopped
from polybench.run.store import RUN_FILE

WARNING = signal.SIGUSR2  # by which the job hears, some seconds before, that its time is up or its place is needed


def work(program: Sequence[str], begin: Sequence[str], folder: str) -> int:
    """Measure the part in a process of its own, in this folder; ends as that ended.

    SLURM begins a job anew, by the same command, whose node was lost or was needed by others: what it has measured
    stays. It warns every process of the job, and who does not listen is ended by that. So polybench is deaf to it
    and is asked here to end, which keeps what it has measured and takes its own processes with it.

    Raises SystemExit where SLURM has ended it otherwise: that knows best whether the job is over, so no result is left.
    """
    begun, warned = (Path(folder) / RUN_FILE).is_file(), []
    signal.signal(WARNING, signal.SIG_IGN)  # inherited by what is started here
    process = subprocess.Popen([*program, *(["--resume", folder] if begun else begin)], stdin=subprocess.DEVNULL)

    def warn(*_: object) -> None:
        warned.append(True)
        process.terminate()

    signal.signal(WARNING, warn)
    code = process.wait()
    if code == Stopped.exit_code and not warned:
        raise SystemExit(code)
    return code
