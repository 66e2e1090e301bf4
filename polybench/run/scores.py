"""Scores of a kept model on disk, beside it or elsewhere: those of the tasks asked last, and of all asked before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polybench.files import write_whole
from polybench.trial import Trial

SUFFIX = ".eval.json"


def path_of(model: Path, folder: Path | None = None) -> Path:
    """Where the scores of a model are kept."""
    return (folder or model.parent) / f"{model.name.removesuffix('.pt').removesuffix('.model')}{SUFFIX}"


def keep(path: Path, trial: Trial, scores: Sequence[Mapping[str, Any]]) -> None:
    """Add scores, each with its `task`, to those of earlier tasks, of which the last scores count.

    Raises ResultsError when the file cannot be written; one that cannot be read is written anew.
    """
    asked = {s["task"] for s in scores}
    try:
        earlier = [s for s in json.loads(path.read_text(encoding="utf-8"))["scores"] if s["task"] not in asked]
    except (OSError, ValueError, KeyError, TypeError):
        earlier = []
    content = {"trial": trial.to_json(), "scores": [*earlier, *scores]}
    write_whole(path, json.dumps(content, indent=1) + "\n")
