"""Scores of trained models on disk: a line a model, with the last scores of every task that it was asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from polybench.errors import ResultsError, first_line
from polybench.files import write_whole
from polybench.run import lines
from polybench.run.faults import parsed
from polybench.run.schema import StoredScores
from polybench.score import Score
from polybench.trial import Trial

SCORES_FILE = "scores.jsonl"  # in the folder of a run, or beside a model that is in none
Scored = Mapping[str, tuple[Score, ...]]  # by the id of the trial that trained the model


def read(folder: Path) -> Scored:
    """What is kept in a folder, the models that were asked last at the end; nothing where there is no such file.

    Raises ResultsError, with the line, where a line is damaged.
    """
    return {trial.id: scores for trial, scores in _read(folder)}


def keep(folder: Path, trial: Trial, scores: Sequence[Score]) -> None:
    """Add the scores of a model to what the folder holds; of each metric of a task the last score counts.

    Raises ResultsError when the file cannot be written, or holds a damaged line.
    """
    add(folder, [(trial, tuple(scores))])


def add(folder: Path, found: Sequence[tuple[Trial, Sequence[Score]]]) -> None:
    """The scores of several models, as `keep` does."""
    kept = {trial.id: (trial, tuple(scores)) for trial, scores in _read(folder)}
    for trial, scores in found:
        _, earlier = kept.pop(trial.id, (trial, ()))
        asked = {s.name for s in scores}
        kept[trial.id] = trial, (*(s for s in earlier if s.name not in asked), *scores)
    write_whole(folder / SCORES_FILE, "".join(_line(trial, scores) for trial, scores in kept.values()))


def bring(source: Path, target: Path, trials: Sequence[Trial]) -> None:
    """Have the scores of these trials in another folder too."""
    wanted = {trial.id for trial in trials}
    if found := [(trial, scores) for trial, scores in _read(source) if trial.id in wanted]:
        add(target, found)


def _read(folder: Path) -> list[tuple[Trial, tuple[Score, ...]]]:
    try:
        text = lines.content(folder, SCORES_FILE).decode("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as problem:
        raise ResultsError(f"{folder / SCORES_FILE} cannot be read: {first_line(problem)}; remove it") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                data = _stored().validate_python(parsed(line))
            except ValidationError as failure:
                error = failure.errors()[0]
                told = filter(None, [".".join(map(str, error["loc"])), error["msg"]])
                raise _damaged(folder, number, ": ".join(told)) from None
            except ValueError as problem:
                raise _damaged(folder, number, f"it is not JSON: {first_line(problem)}") from None
            found.append((Trial.from_json(dict(data["trial"])), tuple(data["scores"])))
    return found


def _damaged(folder: Path, number: int, why: str) -> ResultsError:
    return ResultsError(f"{folder / SCORES_FILE}:{number}: this line holds no scores: {why}; remove it to go on")


@cache
def _stored() -> TypeAdapter[StoredScores]:
    return TypeAdapter(StoredScores)


def _line(trial: Trial, scores: Sequence[Score]) -> str:
    data = {"trial": trial.to_json(), "scores": [s.to_json() for s in scores]}
    return json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"
