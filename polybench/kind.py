"""A kind: one way to measure, with what it varies over, how carefully, and what it yields.

The module of a kind imports torch inside its functions only, so a suite is checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from polybench.errors import RegistryError
from polybench.launches import Rules
from polybench.metric import Metric
from polybench.record import Artifact, Measurement
from polybench.registry import kinds
from polybench.spec import Scalar
from polybench.trial import Trial

MOST = 10**9  # of any number of a suite: more is a slip of the pen, and what counts so far never ends


class _Bounded(BaseModel):
    """Values of a suite, of which no number is without bounds."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        for name, value in vars(self).items():
            if type(value) in (int, float) and not -MOST <= value <= MOST:
                raise ValueError(f"{name} {value:g} is beyond any number that a suite may have, {MOST:,}")
        return self


class Axes(_Bounded):
    """What decides the answer; every field has a default and a description."""

    def idle(self) -> Collection[str]:
        """Axes that play no part beside the others; no suite may say one that plays none in any of its cells."""
        return ()

    def deciding(self) -> dict[str, Scalar]:
        """The axes a cell is known by."""
        idle = self.idle()
        return {name: value for name, value in self.model_dump().items() if name not in idle}

    def unequal(self, branches: Collection[int]) -> str:
        """Why activations of so many branches cannot be held against each other here; empty where they can."""
        return ""


class Protocol(_Bounded):
    """How carefully it is measured; never part of a cell's identity."""

    how_often: ClassVar[frozenset[str]] = frozenset({"launches"})  # fields that bias no answer, whatever they say

    def environment(self) -> dict[str, str]:
        """Variables the measuring process is started with."""
        return {}

    @property
    def rules(self) -> Rules | None:
        """When launches go on; None where there are always as many as `launches` says."""
        return None

    @property
    def keeps_files(self) -> bool:
        """Whether trials keep files, for which they are told a folder."""
        return False

    @property
    def own_process(self) -> bool:
        """Whether no other job may follow in the process of a job, or of the first launch."""
        return False

    def lean(self) -> Self:
        """With nothing kept or looked at beyond what is compared."""
        return self

    def in_turns(self) -> Self:
        """As it is where other processes measure between its blocks."""
        return self

    @classmethod
    def of_suite(cls, margin: float) -> dict[str, Scalar]:
        """What is taken from the suite where a benchmark does not say it."""
        return {}

    @classmethod
    def with_profile(cls) -> dict[str, Scalar]:
        """What asks for a profile; nothing where there is none."""
        return {}

    @classmethod
    def biasing(cls, values: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Of the values of a protocol those that may bias an answer: two runs are compared where these are equal."""
        return {name: value for name, value in values.items() if name not in cls.how_often}


class HeapProtocol(Protocol):
    """With glibc's malloc as it is, or told to keep what is freed instead of giving it back to the system at once."""

    heap: Literal["warm", "default"] = Field("warm", description="warm keeps freed memory, so pages fault once")

    def environment(self) -> dict[str, str]:
        if self.heap == "default":
            return {}
        return {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(64 << 20)}


@dataclass(frozen=True)
class Fact:
    """An exact string that decides comparability, such as the hash of a corpus."""

    name: str
    value: str


@dataclass(frozen=True)
class Progress:
    """Share of the job that is done, 0 to 1."""

    done: float


@dataclass(frozen=True)
class Measured:
    """The trial has all its measurements; should what follows fail (`followed_by`, in a word), that is but a note."""

    followed_by: str


@dataclass(frozen=True)
class Note:
    """A sentence for the report about what was measured, which stands."""

    text: str


Item = Measurement | Fact | Artifact | Progress | Measured | Note | Exception
# A kind yields items for one of its trials, by index; an exception is that trial's failure alone.
Measure = Callable[[Sequence[Trial], Any, Any], Iterator[tuple[int, Item]]]


@dataclass(frozen=True)
class Kind:
    """A registered kind.

    `repeats`: what a trial's seed counts. *seeds* of the suite, *launches* (fresh processes) of the
    protocol, or *once*. `interleaved` kinds measure all activations and backends of a cell in one
    job, with a second copy of the reference; `alone` keeps other jobs off the machine meanwhile.
    `seconds(axes, protocol)` is a planner's guess for one trial, on one core of a small machine.
    `objective` names the metric by which a learning rate is tuned, where the kind has an axis `lr`;
    `derived` are metrics that follow from the measured ones when a run is compared.
    `prepare(trials, axes, protocol)` does what all launches of a cell share, such as imports and
    compiling, in a process that is then copied for each launch; it must start no thread. `decides`
    names the metric whose ratios say, by the `rules` of the protocol, whether further launches are made.
    `unused` names axes and parts of the protocol that it has from another kind and makes nothing of: no suite may
    say them.
    """

    name: str
    run: Measure
    axes: type[Axes]
    protocol: type[Protocol]
    metrics: tuple[Metric, ...]
    version: int
    repeats: Literal["seeds", "launches", "once"]
    seconds: Callable[[Any, Any], float]
    interleaved: bool = False
    alone: bool = False
    objective: str = ""
    derived: tuple[Metric, ...] = ()
    prepare: Callable[[Sequence[Trial], Any, Any], None] | None = None
    decides: str = ""
    unused: tuple[str, ...] = ()

    def metric(self, name: str) -> Metric:
        return next(m for m in self.metrics if m.name == name)

    @property
    def named(self) -> dict[str, Metric]:
        """All of its metrics by name, those too that follow from the measured ones."""
        return {m.name: m for m in (*self.metrics, *self.derived)}


def kind_of(name: str) -> Kind:
    """The registered kind. Raises RegistryError when it is unknown or incomplete."""
    loaded = kinds.load(name)
    try:
        return Kind(name=name, run=loaded.object, **loaded.facts)
    except TypeError as problem:
        raise RegistryError(f"kind {name!r} is registered wrongly: {problem}") from None


def registered(name: str) -> Kind | None:
    """The kind if it is there and whole: a run outlives the package that measured it."""
    try:
        return kind_of(name)
    except RegistryError:
        return None


def axes_of(kind: Kind, values: dict[str, Scalar]) -> tuple[tuple[str, Scalar], ...]:
    """Axes with their defaults filled in, as a cell holds them."""
    return tuple(sorted(kind.axes(**values).deciding().items()))
