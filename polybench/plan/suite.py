"""A suite: what to measure, as data. Everything wrong with it is found before the first trial."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_serializer,
    model_validator,
)

from polybench.durations import seconds
from polybench.spec import Scalar

Dtype = Literal["float32", "bfloat16", "float16", "float64"]
DTYPES: tuple[str, ...] = get_args(Dtype)
Device = Literal["auto", "cpu", "cuda"]
DEVICES = ["cpu", "cuda"]  # of cells: what auto becomes


def _share(value: Any) -> Any:
    """`5%` and 0.05 are the same."""
    if isinstance(value, str) and value.endswith("%"):
        try:
            return float(value[:-1]) / 100
        except ValueError:
            return value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def duration(value: Any) -> Any:
    """`2us` and 2e-6 are the same."""
    return seconds(value) if isinstance(value, str) else float(value) if type(value) is int else value


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _file_name(text: str) -> str:
    if not text or not all(c.isalnum() or c in "._-" for c in text) or text.startswith((".", "-")):
        raise ValueError("use letters, digits, dot, dash and underscore; it becomes the name of a folder")
    if len(text.encode()) > _LONGEST:
        raise ValueError(f"it becomes the name of a folder; shorten it to {_LONGEST} bytes")
    return text


_LONGEST = 100  # bytes of a name: systems hold 255, and what is called after it adds to it
KEPT_NAMES = ("baselines", "ledger", "published")  # folders beside those of suites, in which no run is looked for
Share = Annotated[float, BeforeValidator(_share), Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, BeforeValidator(duration), Field(ge=0, allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, AfterValidator(_file_name)]
Line = Annotated[str, AfterValidator(_one_line)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Tune(_Part):
    """How the learning rate is found where the matrix says `lr: tuned` or `lr: shared`."""

    lr: list[PositiveFloat] = Field(min_length=2, description="rates to try, neighbours at most a factor of 2 apart")
    seeds: list[NonNegativeInt] = Field(
        [1000],
        min_length=1,
        description="of the tuning, all but the first for the best rates alone; the comparison has others",
    )
    extend: NonNegativeInt = Field(4, description="further rates beyond either edge while the best lies there")


class Benchmark(_Part):
    """One kind over its matrix."""

    name: Name = Field(description="how this benchmark is called in tables and with -s")
    kind: str = Field(description="a registered way to measure; `polybench list` names them")
    activations: list[str] | None = Field(None, min_length=1, description="instead of the suite's")
    seeds: list[NonNegativeInt] | None = Field(None, min_length=1, description="instead of the suite's")
    loss_margin: Margin | None = Field(None, description="instead of the suite's")
    backends: list[str] = Field(["eager"], min_length=1, description="how an activation is executed")
    dtypes: list[Dtype] = Field(["float32"], min_length=1, description="type of the numbers")
    matrix: dict[str, Any] = Field({}, description="value or list a named axis, with include and exclude")
    protocol: dict[str, Any] = Field({}, description="how carefully to measure")
    tune: Tune | None = Field(None, description="find each activation's learning rate first")
    timeout_s: PositiveFloat = Field(900.0, description="seconds after which a job is stopped")


Where = dict[str, Scalar | list[Scalar]]


Relation = Literal["better", "worse", "same", "more", "less"]
RELATIONS: dict[str, Relation] = {
    "better_than": "better", "worse_than": "worse", "same_as": "same", "more_than": "more", "less_than": "less"
}  # fmt: skip


class Claim(_Part):
    """A sentence to be judged within the run: of two activations, or an order whose neighbours are a sentence each."""

    metric: str = Field(description="the metric it is about")
    subject: str | None = Field(None, description="the activation it is about")
    better_than: str | None = Field(None, description="the other one; the reference if nothing is said")
    worse_than: str | None = Field(None, description="the other one, that the subject is worse than")
    same_as: str | None = Field(None, description="the other one, that the subject is the same as")
    more_than: str | None = Field(None, description="the other one, that the subject has more than, good or bad")
    less_than: str | None = Field(None, description="the other one, that the subject has less than, good or bad")
    order: list[str] | None = Field(None, min_length=2, description="instead of a subject: activations, the best first")
    by: Share | None = Field(None, description="by how much at least, of same_as at most: 5%, or of losses 0.01")
    where: Where = Field({}, description="only cells with these values")
    source: Line = Field("", description="where it was claimed")
    reported: float | Line | None = Field(None, description="what was published, shown beside what is measured")

    @model_validator(mode="after")
    def _one_form(self) -> Claim:
        said = [name for name in RELATIONS if getattr(self, name) is not None]
        if self.order is not None and (said or self.subject is not None):
            raise ValueError("say an order or a subject, not both")
        if self.order is None and self.subject is None:
            raise ValueError(
                "say a subject and what it is better_than, worse_than, same_as, more_than or less_than, or an order"
            )
        if len(said) > 1:
            raise ValueError(f"say one of {' and '.join(said)}; two claims may follow each other")
        return self

    @property
    def relation(self) -> Relation:
        """Of each pair; of an order each is better than the next."""
        return next((what for name, what in RELATIONS.items() if getattr(self, name) is not None), "better")

    def pairs(self, reference: str) -> list[tuple[str, str]]:
        """Each activation that is spoken of, and the one that it is held against."""
        if self.order is not None:
            return list(pairwise(self.order))
        assert self.subject is not None
        other = next((name for relation in RELATIONS if (name := getattr(self, relation))), reference)
        return [(self.subject, other)]


class Rule(_Part):
    """A limit on getting worse than a baseline run."""

    metric: str = Field(description="the metric to hold")
    tolerance: Share = Field(0.0, description="5% or 0.05; for losses in the metric's own unit")
    floor: Seconds = Field(0.0, description="of times: what is slower by less does not fail, such as 2us")
    where: Where = Field({}, description="only cells with these values")

    @field_serializer("floor", when_used="json")
    def _with_unit(self, floor: float) -> str | float:
        """As it may be written again: a bare number would be refused."""
        return f"{floor!r}s" if floor else floor


class Suite(_Part):
    """A whole suite, after extends, overrides and defaults."""

    suite: Name = Field(description="the name of the suite and of its results folder")
    description: Line = Field("", description="what question it answers")
    activations: list[str] = Field(min_length=1, description="the activations to compare")
    reference: str = Field(description="the activation every other is divided by")
    seeds: list[NonNegativeInt] = Field([0, 1, 2], min_length=1, description="repeats of everything random")
    device: Device = Field("auto", description="where to measure; auto takes a GPU if there is one")
    launcher: Literal["torchrun"] | None = Field(None, description="who starts the processes that train one model")
    processes: PositiveInt = Field(1, description="how many of them the launcher starts on this machine")
    margin: Share = Field(0.03, description="the least ratio of times that matters")
    loss_margin: Margin = Field(0.01, description="nat a token within which losses are the same")
    benchmarks: list[Benchmark] = Field(min_length=1, description="what is measured")
    claims: list[Claim] = Field([], description="judged within the run")
    gate: list[Rule] = Field([], description="judged against a baseline by `polybench gate`")

    @model_validator(mode="after")
    def _launched(self) -> Suite:
        if self.processes > 1 and not self.launcher:
            raise ValueError(f"processes: {self.processes} needs launcher: torchrun beside it")
        return self

    @property
    def tunes(self) -> bool:
        """Whether a learning rate is found before it is used."""
        return any(b.tune for b in self.benchmarks)

    @property
    def every_activation(self) -> list[str]:
        """Its own, and those that a benchmark has instead of them."""
        return [*dict.fromkeys([*self.activations, *(n for b in self.benchmarks for n in b.activations or ())])]

    def activations_of(self, benchmark: Benchmark) -> list[str]:
        return benchmark.activations or self.activations

    def seeds_of(self, benchmark: Benchmark) -> list[int]:
        return benchmark.seeds or self.seeds


def suite_paths(folder: Path = Path("suites")) -> list[Path]:
    return sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")])


def suite_name(path: Path, folder: Path = Path("suites")) -> str:
    """What a suite of the folder is called: gpu/speed.yaml is gpu-speed."""
    return "-".join(path.relative_to(folder).with_suffix("").parts)
