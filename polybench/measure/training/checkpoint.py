"""Checkpoints: a file that is there whole or not at all, and that holds numbers and text alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from polybench.errors import TrialError, first_line
from polybench.files import replacing, sweep
from polybench.trial import CHECKPOINTS, Trial, kept_name

_LAYOUT = 1


def path_of(trial: Trial, what: str) -> Path | None:
    """Where the trial's `what` (`resume` or `model`) is kept; None where nothing is to be kept."""
    folder = os.environ.get(CHECKPOINTS)
    return Path(folder) / kept_name(trial, what) if folder else None


def write(path: Path, content: dict[str, Any]) -> None:
    """Tensors, numbers, text, lists and dictionaries, at once. Raises TrialError when the disk refuses."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path)
        with replacing(path) as partial:
            torch.save({"layout": _LAYOUT, **content}, partial)
    except (OSError, RuntimeError) as problem:
        raise TrialError(f"the checkpoint {path} cannot be written: {problem}") from None


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote, on the CPU; nothing in the file is executed.

    Raises:
        TrialError: no such file, or none of polybench's checkpoints.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or content.get("layout") != _LAYOUT:
            raise ValueError("it was written by another version of polybench, or by another program")
    except FileNotFoundError:
        raise TrialError(f"there is no checkpoint {path}") from None
    except Exception as problem:  # torch raises many kinds for damaged archives
        why = f"{path} cannot be read as a checkpoint: {first_line(problem)}"
        raise TrialError(f"{why}; remove it to begin anew") from None
    return content
