"""What a run folder must hold to be read: the shape of its header and of its records.

A run may come from anybody, so it is checked once, when it is loaded, and whoever reads it later need not ask. What
is unknown here is passed over and stays as it is stored, since a newer polybench may have written it.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    TypeAdapter,
    ValidationError,
    with_config,
)
from pydantic_core import from_json
from typing_extensions import TypedDict

from polybench.errors import ResultsError, SuiteError
from polybench.metric import Better, VariesWith
from polybench.plan.located import dotted, read
from polybench.plan.problems import existing, in_short
from polybench.record import ARTIFACT, Status

_MOST_DEPTH = 64  # of what is nested; polybench itself writes 8
_LONE = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON, where half a character may stand
_STRICT = ConfigDict(strict=True)
_WORDS = {
    "too_short": "is empty",
    "string_pattern_mismatch": "is no folder/file within the run",
    "extra_forbidden": "is not known here",
}
_REMEDY = "mend it, or take a whole copy of the run"

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# JSON has no infinity and no NaN, so they travel as text. First what most are, since the first that fits is taken.
Value = Annotated[float | Literal["nan", "inf", "-inf"], Field(union_mode="left_to_right")]
Values = Annotated[list[float] | list[Value], Field(union_mode="left_to_right")]
Scalar = Annotated[str | bool | Whole | FiniteFloat, Field(union_mode="left_to_right")]


class _Stored(BaseModel):
    model_config = _STRICT


@with_config(_STRICT)
class _Measurement(TypedDict):
    metric: str
    values: Annotated[Values, Field(min_length=1)]
    steps: NotRequired[list[Whole] | None]


@with_config(ConfigDict(strict=True, extra="forbid"))  # another field would be another cell
class _Cell(TypedDict):
    kind: str
    version: Whole
    activation: str
    backend: str
    device: str
    dtype: str
    axes: dict[str, Scalar]
    id: NotRequired[str]


@with_config(_STRICT)
class _Trial(TypedDict):
    benchmark: str
    cell: _Cell
    seed: Whole
    control: bool
    rate: NotRequired[FiniteFloat | None]


@with_config(_STRICT)
class StoredRecord(TypedDict):
    """One line of the records; a dictionary, since there are many and nothing of it is kept."""

    trial: _Trial
    status: Literal[tuple(s.value for s in Status)]  # type: ignore[valid-type]
    measurements: list[_Measurement]
    facts: dict[str, str]
    error: str
    started_at: str
    duration_s: FiniteFloat
    artifacts: NotRequired[list[Annotated[str, Field(pattern=f"^(?:{ARTIFACT})$")]]]
    notes: NotRequired[list[str]]
    machine: NotRequired[str]


class _Metric(_Stored):
    name: str
    unit: str
    better: Literal[get_args(Better)]  # type: ignore[valid-type]
    varies_with: Literal[get_args(VariesWith)]  # type: ignore[valid-type]
    definition: str
    source: str = ""
    version: Whole = 1
    curve: bool = False
    along: Literal["step", "layer", "corpus"] = "step"


class _Protocol(_Stored):
    margin: Annotated[FiniteFloat, Field(ge=0)] = 0.0


class _Benchmark(_Stored):
    """What is read of it; paths and limits may have become wrong since it was planned, which harms no record."""

    name: str
    kind: str
    activations: list[str] | None = None
    seeds: list[Whole] | None = None
    backends: list[str] = Field(["eager"], min_length=1)
    dtypes: list[str] = []
    matrix: dict[str, Any] = {}
    protocol: _Protocol = _Protocol()
    tune: dict[str, Any] | None = None


class _Claim(_Stored):
    metric: str
    subject: str
    better_than: str | None = None
    where: dict[str, Scalar | list[Scalar]] = {}


class _Rule(_Stored):
    metric: str
    tolerance: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    where: dict[str, Scalar | list[Scalar]] = {}


class _Suite(_Stored):
    suite: str
    activations: list[str]
    reference: str
    benchmarks: list[_Benchmark]
    margin: Annotated[FiniteFloat, Field(ge=0)]
    description: str = ""
    seeds: list[Whole] = []
    claims: list[_Claim] = []
    gate: list[_Rule] = []


class _Environment(_Stored):
    """What is read of a machine; every other field is compared and shown as it is."""

    load: list[FiniteFloat] = []
    gpus: list[str] = []
    packages: dict[str, str | None] = {}
    host: str = ""
    system: str = ""
    python: str = ""


class _Window(_Stored):
    other_cores: FiniteFloat = 0.0
    stolen_cores: FiniteFloat = 0.0
    throttled: Whole = 0


class _After(_Environment):
    meanwhile: _Window = _Window()


class _Source(_Stored):
    run: str
    environment: _Environment
    shard: str = ""
    started_at: str = ""


class StoredHeader(_Stored):
    suite: _Suite
    environment: _Environment
    metrics: dict[str, list[_Metric]]
    device: str
    filter: str | None = None
    source: str = ""
    folder: str = ""
    started_at: str = ""
    finished_at: str = ""
    planned: NonNegativeInt = 0
    processes: NonNegativeInt = 1
    forced: list[str] = []
    environment_after: _After = _After()
    sources: list[_Source] = Field([_Source(run="", environment=_Environment())], min_length=1)
    missing: list[str | Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    shard: str = ""
    trials: list[str] = []
    part_of: str = ""


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
    if _LONE.search(text):
        data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    return data


def header_fault(data: Any, file: Path) -> ResultsError | None:
    """What is wrong with the header of a run, at the line of its file."""
    try:
        _shallow(data, _MOST_DEPTH)
        StoredHeader.model_validate(data)
    except ValidationError as failure:
        route, why = _first(failure, data)
        return ResultsError(f"{_placed(file, route)} is damaged: {dotted(route)}: {why}; {_REMEDY}")
    except ValueError as problem:
        return ResultsError(f"{file} is damaged: {problem}; {_REMEDY}")
    return None


def record_fault(data: Any) -> str:
    """What is wrong with a record; nothing if nothing is."""
    try:
        _records().validate_python(data)
    except ValidationError as failure:
        route, why = _first(failure, data)
        return f"{dotted(route)}: {why}" if route else why
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
