"""A run in a process of its own, left alone or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import toy_kind


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **toy_kind.variables(folder), "POLYBENCH_CACHE": str(folder / "cache")}
    command = [sys.executable, "-m", "polybench", "run", *arguments]

    def hear_interrupts() -> None:
        """A shell starts background jobs, of which these tests may be one, deaf to Ctrl-C."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_interrupts,
    )


def finish(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a run that is left alone."""
    process = start(folder, *arguments)
    words = process.communicate()[1]
    return process.returncode, words


def kill_after(process: subprocess.Popen[str], lines: int, how: signal.Signals) -> str:
    """Send a signal once so many trials have been reported; returns the rest of stderr."""
    assert process.stderr
    for _ in range(lines):
        process.stderr.readline()
    process.send_signal(how)
    return process.communicate()[1]
