"""A session of a baseline as a file that people read and commit: what it is of, then a line a time."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from polybench.compare.sessions import Session, Timed
from polybench.errors import ResultsError, first_line
from polybench.files import inside, write_whole
from polybench.run.faults import fault, parsed
from polybench.run.schema import Scalar, StoredCell, StoredEnvironment, Whole
from polybench.trial import Cell

SCHEMA_VERSION = 1
_MOST = 2000.0  # of a logarithm: no ratio of two times is beyond that
_DIGITS = 6  # that are kept: a millionth of what is measured to a thousandth at best


class _Time(BaseModel):
    model_config = ConfigDict(strict=True)

    benchmark: str
    metric: str
    typical: Annotated[FiniteFloat, Field(gt=0)]
    logs: Annotated[list[Annotated[float, Field(ge=-_MOST, le=_MOST)]], Field(min_length=1)]
    cell: StoredCell


class _Session(BaseModel):
    model_config = ConfigDict(strict=True)

    schema_version: Whole
    started_at: Annotated[str, Field(min_length=1)]
    code: str
    environment: StoredEnvironment
    protocols: dict[str, dict[str, Scalar]]
    times: list[_Time]


def file_name(session: Session) -> str:
    """Its moment, so that files sort as sessions followed each other."""
    moment = session.started_at.partition("+")[0]
    return re.sub(r"[^0-9A-Za-z]+", "-", moment).strip("-") + ".json"


def write(session: Session, path: Path) -> None:
    """Raises ResultsError when the disk refuses."""
    head = {
        "schema_version": SCHEMA_VERSION,
        "started_at": session.started_at,
        "code": session.code,
        "environment": dict(session.environment),
        "protocols": {name: dict(values) for name, values in session.protocols.items()},
    }
    lines = ",\n".join(f"  {json.dumps(_line(key, one))}" for key, one in session.times.items())
    opened = json.dumps(head, sort_keys=True, indent=1).removesuffix("\n}")
    write_whole(path, f'{opened},\n "times": [\n{lines}\n ]\n}}\n')


def read(path: Path) -> Session:
    """Raises ResultsError on a file that is no session, is of a newer schema or is damaged, with file and line."""
    file = inside(path.parent, path.name)
    if not file.is_file():  # what else could be opened, such as a pipe, may never end
        raise ResultsError(f"{path} is no file; remove it")
    try:
        data = parsed(file.read_bytes().decode("utf-8"))
    except OSError as problem:
        raise ResultsError(f"{path} cannot be read: {problem.strerror}") from None
    except ValueError as problem:
        raise ResultsError(f"{path} is damaged: it is not JSON: {first_line(problem)}") from None
    number = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(number, int) and number > SCHEMA_VERSION:
        raise ResultsError(f"{path} has schema {number}, this polybench reads up to {SCHEMA_VERSION}; update polybench")
    if wrong := fault(_Session, data, path):
        raise wrong
    return Session(
        data["started_at"],
        data["code"],
        data["environment"],
        data["protocols"],
        {
            (one["benchmark"], Cell.from_json(one["cell"]), one["metric"]): Timed(one["typical"], tuple(one["logs"]))
            for one in data["times"]
        },
    )


def _line(key: tuple[str, Cell, str], one: Timed) -> dict[str, Any]:
    benchmark, cell, metric = key
    logs = [round(log, _DIGITS) for log in one.logs]
    typical = float(f"{one.typical:.{_DIGITS}g}")
    known = {**asdict(cell), "axes": dict(cell.axes)}
    return {"benchmark": benchmark, "metric": metric, "typical": typical, "logs": logs, "cell": known}
