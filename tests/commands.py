"""The command line, called in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from polybench.cli import main

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "pandas", "numpy", "matplotlib", "scipy", "http.server")
Capture = pytest.CaptureFixture[str]


def call(*arguments: str | Path) -> int:
    """What `polybench ARGUMENTS` exits with, in this process."""
    before = sys.argv
    sys.argv = ["polybench", *map(str, arguments)]
    try:
        main.main()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    finally:
        sys.argv = before
    return 0


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
