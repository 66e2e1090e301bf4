"""A line on stderr, said at once; that nobody reads it is no reason to stop what is being measured."""

from __future__ import annotations

import os
import sys


def say(line: str) -> None:
    """Print to stderr. Where its reader is gone, as behind `2>&1 | head`, this and all that follows goes nowhere."""
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stderr.fileno())
        os.close(nowhere)
