"""What is wrong with a stored run, found as it is read and said with the place of the field."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import from_json

from polybench.errors import ResultsError, SuiteError, in_short
from polybench.plan.located import dotted, read
from polybench.plan.problems import existing
from polybench.run.schema import StoredHeader, StoredRecord

_MOST_DEPTH = 64  # of what is nested; polybench itself writes 8
_LONE = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON, where half a character may stand
_WORDS = {
    "too_short": "is empty",
    "string_pattern_mismatch": "is no folder/file within the run",
    "extra_forbidden": "is not known here",
}
REMEDY = "mend it, or take a whole copy of the run"


def parsed(text: str) -> Any:
    """The JSON in a text; half a character, which nothing can print, becomes a question mark.

    Raises ValueError where it is no JSON, is nested without end, or holds a number that no program reads.
    """
    with suppress(ValueError):  # of which it gives no more than 200 levels, and no half a character
        return from_json(text)
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _shallow(data, _MOST_DEPTH)
    if _LONE.search(text):
        data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    return data


def header_fault(data: Any, file: Path) -> ResultsError | None:
    """What is wrong with the header of a run, at the line of its file."""
    return fault(StoredHeader, data, file)


def fault(model: type[BaseModel], data: Any, file: Path) -> ResultsError | None:
    """What keeps the data of a JSON file from being such a model, at its line."""
    try:
        _shallow(data, _MOST_DEPTH)
        model.model_validate(data)
    except ValidationError as failure:
        route, why = _first(failure, data)
        return ResultsError(f"{_placed(file, route)} is damaged: {dotted(route)}: {why}; {REMEDY}")
    except ValueError as problem:
        return ResultsError(f"{file} is damaged: {problem}; {REMEDY}")
    return None


def sound_record(line: bytes) -> Any:
    """The record in a line of JSON, read and checked in one pass; None where anything is wrong with it."""
    try:
        data = _records().validate_json(line)
    except ValidationError:
        return None
    return None if _uneven(data) else data


def record_fault(data: Any) -> str:
    """What is wrong with a record; nothing if nothing is."""
    try:
        _records().validate_python(data)
    except ValidationError as failure:
        route, why = _first(failure, data)
        return f"{dotted(route)}: {why}" if route else why
    return _uneven(data)


def _uneven(data: Any) -> str:
    for index, one in enumerate(data["measurements"]):
        steps, values = one.get("steps"), one["values"]
        if steps is not None and len(steps) != len(values):
            return f"measurements[{index}]: it has {len(values)} values at {len(steps)} steps"
    return ""


@cache
def _records() -> TypeAdapter[StoredRecord]:
    return TypeAdapter(StoredRecord)


def _first(failure: ValidationError, data: Any) -> tuple[tuple[str | int, ...], str]:
    error = failure.errors(include_url=False)[0]
    missing = error["type"] == "missing"
    route = existing(error["loc"], data, keep_last=missing)
    if missing:
        return route[:-1], f"the key {route[-1]!r} is missing"
    text = _WORDS.get(error["type"], re.sub(r"^(Input|String|Value) (?=should)", "", error["msg"]))
    return route, f"{in_short(error['input'])} {text}"


def _placed(file: Path, route: tuple[str | int, ...]) -> str:
    """The file with the line of a value; JSON is YAML, whose reader knows where each value stands."""
    try:
        return str(read(file).mark(route))
    except SuiteError:
        return str(file)


def _shallow(data: Any, left: int) -> None:
    if isinstance(data, dict | list):
        if not left:
            raise ValueError("it is nested too deeply")
        for value in data.values() if isinstance(data, dict) else data:
            if isinstance(value, dict | list):
                _shallow(value, left - 1)
