"""What a run folder must hold to be read: the shape of its header and of its records.

A run may come from anybody, so it is checked once, when it is loaded, and whoever reads it later need not ask. What
is unknown here is passed over and stays as it is stored, since a newer polybench may have written it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict

from polybench.metric import Along, Better, VariesWith
from polybench.plan.suite import Seconds
from polybench.record import ARTIFACT, Status
from polybench.score import Score

_STRICT = ConfigDict(strict=True)

Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
# JSON has no infinity and no NaN, so they travel as text. First what most are, since the first that fits is taken.
Value = Annotated[float | Literal["nan", "inf", "-inf"], Field(union_mode="left_to_right")]
_Some = Field(min_length=1)
Values = Annotated[Annotated[list[float], _Some] | Annotated[list[Value], _Some], Field(union_mode="left_to_right")]
Scalar = Annotated[str | bool | Whole | FiniteFloat, Field(union_mode="left_to_right")]


class _Stored(BaseModel):
    model_config = _STRICT


@with_config(_STRICT)
class _Measurement(TypedDict):
    metric: str
    values: Values
    steps: NotRequired[list[Whole] | None]


@with_config(ConfigDict(strict=True, extra="forbid"))  # another field would be another cell
class StoredCell(TypedDict):
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
    cell: StoredCell
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
    same_as: NotRequired[str]


class StoredScores(TypedDict):
    """One line of the scores of trained models."""

    trial: _Trial
    scores: list[Score]


class _Metric(_Stored):
    name: str
    unit: str
    better: Literal[get_args(Better)]  # type: ignore[valid-type]
    varies_with: Literal[get_args(VariesWith)]  # type: ignore[valid-type]
    definition: str
    source: str = ""
    version: Whole = 1
    curve: bool = False
    along: Literal[get_args(Along)] = "step"  # type: ignore[valid-type]


class _Protocol(_Stored):
    margin: Annotated[FiniteFloat, Field(ge=0)] = 0.0


class _Benchmark(_Stored):
    """What is read of it; paths and limits may have become wrong since it was planned, which harms no record."""

    name: str
    kind: str
    activations: list[str] | None = None
    seeds: list[Whole] | None = None
    loss_margin: Annotated[FiniteFloat, Field(ge=0)] | None = None
    backends: list[str] = Field(["eager"], min_length=1)
    dtypes: list[str] = []
    matrix: dict[str, Any] = {}
    protocol: _Protocol = _Protocol()
    tune: dict[str, Any] | None = None


class _Claim(_Stored):
    metric: str
    subject: str | None = None
    better_than: str | None = None
    worse_than: str | None = None
    same_as: str | None = None
    order: Annotated[list[str], Field(min_length=2)] | None = None
    by: Annotated[FiniteFloat, Field(ge=0)] | None = None
    where: dict[str, Scalar | list[Scalar]] = {}
    source: str = ""
    reported: FiniteFloat | str | None = None

    @model_validator(mode="after")
    def _speaks_of_some(self) -> _Claim:
        if (self.subject is None) == (self.order is None):
            raise ValueError("a claim has a subject or an order")
        return self


class _Rule(_Stored):
    metric: str
    tolerance: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    floor: Seconds = 0.0
    where: dict[str, Scalar | list[Scalar]] = {}


class _Suite(_Stored):
    suite: str
    activations: list[str]
    reference: str
    benchmarks: list[_Benchmark]
    margin: Annotated[FiniteFloat, Field(ge=0)]
    loss_margin: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    processes: Annotated[Whole, Field(ge=1)] = 1
    description: str = ""
    seeds: list[Whole] = []
    claims: list[_Claim] = []
    gate: list[_Rule] = []


class StoredEnvironment(_Stored):
    """What is read of a machine; every other field is compared and shown as it is."""

    load: list[FiniteFloat] = []
    gpus: list[str] = []
    packages: dict[str, str | None] = {}
    plugins: dict[str, str] = {}
    host: str = ""
    system: str = ""
    python: str = ""


class _Window(_Stored):
    other_cores: FiniteFloat = 0.0
    stolen_cores: FiniteFloat = 0.0
    throttled: Whole = 0


class _After(StoredEnvironment):
    meanwhile: _Window = _Window()


class _Source(_Stored):
    run: str
    environment: StoredEnvironment
    shard: str = ""
    started_at: str = ""


class StoredHeader(_Stored):
    suite: _Suite
    environment: StoredEnvironment
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
    looks: dict[str, list[list[Whole]]] = {}
    environment_after: _After = _After()
    sources: list[_Source] = Field([_Source(run="", environment=StoredEnvironment())], min_length=1)
    missing: list[str | Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    shard: str = ""
    trials: list[str] = []
    part_of: str = ""
    baseline: bool = False
