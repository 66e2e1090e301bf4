"""What a trial leaves behind. Failing is data: a record always comes back, with a status."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from polybench.trial import Trial


class Status(StrEnum):
    """How a trial ended."""

    OK = "ok"
    UNSUPPORTED = "unsupported"
    DIVERGED = "diverged"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    FAILED = "failed"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")

    @property
    def settled(self) -> bool:
        """Whether running it again would only repeat the answer."""
        return self in (Status.OK, Status.UNSUPPORTED, Status.DIVERGED)

    @property
    def broken(self) -> bool:
        """Whether the measurement itself failed: exit code 3."""
        return self not in (Status.OK, Status.UNSUPPORTED)


@dataclass(frozen=True)
class Measurement:
    """Raw values of one metric in its own unit; `steps` name the step, or layer, of each value of a curve."""

    metric: str
    values: tuple[float, ...]
    steps: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"metric": self.metric, "values": [_pack(v) for v in self.values]}
        return data if self.steps is None else {**data, "steps": list(self.steps)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measurement:
        steps = data.get("steps")
        values = tuple(data["values"])
        try:
            sum(values)
        except TypeError:  # one is text; most have none, and there are millions
            values = tuple(float(v) if isinstance(v, str) else v for v in values)
        return cls(data["metric"], values, None if steps is None else tuple(steps))


TRACE_FOLDER, CHECKPOINT_FOLDER = "traces", "checkpoints"  # within the folder of a run
TRACE_ENDING = ".pt.trace.json.gz"
_FILE = r"[A-Za-z0-9_][A-Za-z0-9_.=+-]*"
ARTIFACT = f"{_FILE}/{_FILE}"  # the name of a file that a trial leaves behind


@dataclass(frozen=True)
class Artifact:
    """A file that a trial leaves behind; `name` is `folder/file` within the folder of the run.

    `data` is what the file holds until it is stored; a record that was read back has the name alone.
    Raises ValueError when the name could lead elsewhere.
    """

    name: str
    data: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(ARTIFACT, self.name):
            raise ValueError(f"{self.name!r} is not folder/file")


@dataclass(frozen=True)
class Record:
    """One trial and all it measured.

    Trials of one job share `started_at` (UTC, ISO 8601), which is how blocks are known to be paired.
    `facts` are exact strings that decide comparability, such as the hash of a corpus. `notes` tell
    what went wrong after everything was measured, so that the status need not. `machine` is the
    fingerprint of where it was measured: times of two machines are not compared. `same_as` is the id
    of the trial that was carried out in place of this one, since both are one: no further evidence.
    """

    trial: Trial
    status: Status
    measurements: tuple[Measurement, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    started_at: str = ""
    duration_s: float = 0.0
    artifacts: tuple[Artifact, ...] = ()
    notes: tuple[str, ...] = ()
    machine: str = ""
    same_as: str = ""

    def get(self, metric: str) -> Measurement | None:
        return self._named.get(metric)

    @cached_property
    def _named(self) -> dict[str, Measurement]:
        return {m.metric: m for m in reversed(self.measurements)}  # of two of one name the first counts

    @property
    def sources(self) -> dict[str, str]:
        """The hash of every text, or of the images, that it was measured on, by what people call it."""
        of = ((self.trial.cell.source_of(name), value) for name, value in self.facts.items())
        return {source: value for source, value in of if source}

    def of(self, trial: Trial) -> Record:
        """What it says of another trial, which is the same and was not carried out; its files and time stay here."""
        return replace(self, trial=trial, same_as=self.trial.id, artifacts=(), duration_s=0.0)

    def to_json(self) -> dict[str, Any]:
        """Artifacts by name only: their data is for files."""
        rare = {"artifacts": [a.name for a in self.artifacts], "notes": list(self.notes), "machine": self.machine,
                "same_as": self.same_as}  # fmt: skip
        return {
            **{key: value for key, value in rare.items() if value},
            "trial": self.trial.to_json(),
            "status": self.status.value,
            "measurements": [m.to_json() for m in self.measurements],
            "facts": dict(self.facts),
            "error": self.error,
            "started_at": self.started_at,
            "duration_s": self.duration_s,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Raises KeyError, TypeError or ValueError on data that is no record."""
        return cls(
            trial=Trial.from_json(data["trial"]),
            status=Status(data["status"]),
            measurements=tuple(Measurement.from_json(m) for m in data["measurements"]),
            facts=dict(data["facts"]),
            error=data["error"],
            started_at=data["started_at"],
            duration_s=data["duration_s"],
            artifacts=tuple(map(Artifact, data.get("artifacts", ()))),
            notes=tuple(data.get("notes", ())),
            machine=data.get("machine", ""),
            same_as=data.get("same_as", ""),
        )


def block_ratios(mine: Record, theirs: Record, metric: str) -> list[float]:
    """Log-ratios block by block; empty where not both have them from one job, since only its blocks are pairs."""
    a, b = mine.get(metric), theirs.get(metric)
    if not (a and b) or not mine.status is theirs.status is Status.OK or mine.started_at != theirs.started_at:
        return []
    if len(a.values) != len(b.values) or min(*a.values, *b.values, math.inf) <= 0:
        return []
    return [math.log(x / y) for x, y in zip(a.values, b.values, strict=True)]


def _pack(value: float) -> float | str:
    """JSON has no NaN and no infinity; they travel as text so that a diverged curve survives."""
    return value if math.isfinite(value) else str(value)
