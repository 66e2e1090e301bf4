"""The rectangle that is measured: cells, trials, and the jobs a worker gets."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from polybench.errors import TrialError
from polybench.spec import Scalar

CHECKPOINTS = "POLYBENCH_CHECKPOINTS"  # in a job's environment: the folder for what a training leaves behind
TEXTS = "POLYBENCH_TEXTS"  # in a job's environment: hashes of the texts and images of the run so far, as JSON
OTHER_TEXT = "has changed since this run began; put it back, start a new run, or resume with --force to mix them"
RENDEZVOUS = "POLYBENCH_RENDEZVOUS"  # variable: where in torchrun's store the processes of one job meet
_text = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class Cell:
    """Everything that decides the answer. How carefully it is measured (the protocol) stays out.

    `axes` are (name, value) pairs in alphabetical order; `version` is the version of the kind.
    """

    kind: str
    version: int
    activation: str
    backend: str
    device: str
    dtype: str
    axes: tuple[tuple[str, Scalar], ...]

    @cached_property
    def id(self) -> str:
        """Twelve hex digits of a hash over every field."""
        return hashlib.sha256(_text(self._fields()).encode()).hexdigest()[:12]

    def __hash__(self) -> int:
        return hash(self.id)  # which is kept: a run looks its cells up a million times

    def _fields(self) -> dict[str, Any]:
        return {"kind": self.kind, "version": self.version, "activation": self.activation, "backend": self.backend,
                "device": self.device, "dtype": self.dtype, "axes": self.axes}  # fmt: skip

    def axis(self, name: str) -> Scalar:
        return dict(self.axes)[name]

    def get(self, axis: str, otherwise: Any = None) -> Any:
        """The value of an axis, or something else where it plays no part."""
        return dict(self.axes).get(axis, otherwise)

    def without(self, *names: str) -> Cell:
        """What cells have in common that differ in these axes alone."""
        return replace(self, axes=tuple((name, value) for name, value in self.axes if name not in names))

    @property
    def text(self) -> str:
        """What it is trained on, as people name it: corpus and tokenizer; empty where it is not trained."""
        axes = dict(self.axes)
        return " ".join(str(axes[name]) for name in ("corpus", "tokenizer") if name in axes)

    def source_of(self, fact: str) -> str:
        """The text or the images, as people name them, that a fact of this name is the hash of; else nothing."""
        if fact == "images":
            return f"images {self.get('images')}"
        if fact == "corpus":
            return f"corpus {self.text}"
        return f"{fact} beside {self.text}" if fact.startswith("corpus ") else ""

    @cached_property
    def place(self) -> Cell:
        """The cell without its activation: what is compared side by side has one place."""
        return self.of("")

    def of(self, activation: str) -> Cell:
        """The same cell for another activation."""
        return replace(self, activation=activation)

    def to_json(self) -> dict[str, Any]:
        return {**self._fields(), "axes": dict(self.axes), "id": self.id}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Cell:
        """Raises KeyError or TypeError when a field is missing or foreign.

        Alike ones are one object, since a run has each many times: its id and its hash are worked out once.
        """
        axes = tuple(sorted(data["axes"].items()))
        types = tuple(type(value) for _, value in axes)  # 1, 1.0 and true are equal and not alike
        return _cell(types, **{**{k: v for k, v in data.items() if k != "id"}, "axes": axes})


@lru_cache(maxsize=1 << 14)
def _cell(_: tuple[type, ...], **fields: Any) -> Cell:
    return Cell(**fields)


@dataclass(frozen=True)
class Trial:
    """One execution of a cell. A `control` is the second copy of the reference (the A/A arm).

    `rate` is the learning rate that tuning found, where the cell asks for that and names no number.
    """

    benchmark: str
    cell: Cell
    seed: int
    control: bool = False
    rate: float | None = None

    @cached_property
    def id(self) -> str:
        return f"{self.benchmark}/{self.cell.id}/{self.seed}" + ("/control" if self.control else "")

    def rate_of(self, lr: float | str) -> float:
        """The learning rate of a training: as the axis `lr` says it, or what tuning found.

        Raises:
            TrialError: no rate that was tried ended well.
        """
        rate = self.rate if isinstance(lr, str) else lr
        if rate is None:
            raise TrialError(f"lr {lr}: no learning rate that was tried ended well with every tuning seed")
        return rate

    @property
    def activation(self) -> str:
        """As people read it, with the second copy marked."""
        return self.cell.activation + (" (A/A)" if self.control else "")

    @cached_property
    def label(self) -> str:
        """The whole label, with every axis; people read those of `plan.labels`, and --filter matches either."""
        axes = ",".join(f"{k}={v}" for k, v in self.cell.axes)
        return f"{self.benchmark}/{self.activation}/{self.cell.backend}/{self.cell.dtype}/{axes}/seed={self.seed}"

    def to_json(self) -> dict[str, Any]:
        data = {
            "benchmark": self.benchmark,
            "cell": self.cell.to_json(),
            "seed": self.seed,
            "control": self.control,
        }
        return data if self.rate is None else {**data, "rate": self.rate}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Trial:
        cell = Cell.from_json(data["cell"])
        return cls(data["benchmark"], cell, data["seed"], data["control"], data.get("rate"))


def kept_name(trial: Trial, what: str) -> str:
    """The file that a training keeps: `resume`, to go on from, or `model`."""
    known = hashlib.sha256(f"{trial.id} {trial.rate}".encode()).hexdigest()[:8]
    name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{trial.benchmark}-{trial.cell.activation}-seed{trial.seed}").strip("-")
    return f"{name}-{known}.{what}.pt"


@dataclass(frozen=True)
class Job:
    """Trials that one worker measures together, and how: several where blocks are interleaved, else one.

    Of trials that are `as_one` the first is measured, and the others, which are the same but in name, get its record.
    `alone` keeps every other job away from the machine; jobs with another `process` never share
    one; `environment` are variables that process is started with. With `fork` that process makes
    everything ready once, and each job has a copy of it for itself. `seconds` is the planner's guess,
    `ahead_s` the most that launches take which this one and those before it may ask for. `turns` is the socket at
    which it asks for its turn, where jobs of several processes are held in step.
    """

    trials: tuple[Trial, ...]
    protocol: tuple[tuple[str, Scalar], ...]
    timeout_s: float = 900.0
    alone: bool = False
    process: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    seconds: float = 1.0
    as_one: bool = False
    fork: bool = False
    ahead_s: float = 0.0
    turns: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it, so that another process, or another machine, does the same."""
        plain = {"trials": [t.to_json() for t in self.trials], "protocol": dict(self.protocol)}
        return {**vars(self), **plain, "environment": dict(self.environment)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Job:
        """Raises KeyError or TypeError when a field is missing or foreign."""
        pairs = {key: tuple(data[key].items()) for key in ("protocol", "environment")}
        return cls(**{**data, **pairs, "trials": tuple(map(Trial.from_json, data["trials"]))})
