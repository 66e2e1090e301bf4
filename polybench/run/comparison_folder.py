"""A comparison on disk: a run folder for each side, and what its sides were and planned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from polybench.errors import ResultsError, reason
from polybench.files import inside, make_folder, write_whole
from polybench.machine.environment import fingerprint
from polybench.record import Record
from polybench.run import store
from polybench.run.faults import parsed
from polybench.run.side import BASE, CONTROL, HEAD, SIDES, Side
from polybench.run.side_plan import SidePlan

FILE = "compare.json"
SCHEMA_VERSION = 1
AGAIN = 1000  # launches from here on are of the second look, at what failed in the first; no suite has as many


@dataclass(frozen=True)
class Stored:
    """A comparison as it is kept: its runs by side, the plans of base and head, and how people named the sides."""

    path: Path
    source: str
    runs: Mapping[str, store.Run]
    plans: Mapping[str, SidePlan]
    whats: Mapping[str, str]


class Folder:
    """A comparison that is being measured; what is known so far is in memory too."""

    def __init__(
        self,
        path: Path,
        source: str,
        plans: Mapping[str, SidePlan],
        sides: Mapping[str, Side],
        pattern: str | None = None,
    ):
        """Raises ResultsError when the folder holds something already, or cannot be made."""
        self.path, self._source, self._plans, self._pattern = path, source, plans, pattern
        self._whats = {name: side.what for name, side in sides.items()}
        self._records: dict[str, dict[str, Record]] = {name: {} for name in SIDES}
        if path.is_dir() and any(path.iterdir()):
            raise ResultsError(f"{path} is not empty, so nothing was written; choose another folder")
        make_folder(path)
        began = _now()
        self._headers = {name: self._header(name, began) for name in SIDES}
        for name in SIDES:
            store.create(path / name, self._headers[name])
        data = {
            "schema_version": SCHEMA_VERSION,
            "source": source,
            "sides": self._whats,
            "plans": {name: plan.to_json() for name, plan in plans.items()},
        }
        write_whole(path / FILE, json.dumps(data, sort_keys=True) + "\n")

    def keep(self, side: str, records: Sequence[Record]) -> None:
        """Store what was measured. Raises ResultsError on a full disk."""
        machine = fingerprint(self._headers[side]["environment"])
        measured = [replace(r, machine=machine) for r in records]
        store.append(self.path / side, measured)
        self._records[side] |= {r.trial.id: replace(r, artifacts=()) for r in measured}

    def so_far(self) -> Stored:
        """What was measured until now."""
        runs = {n: store.Run(self.path / n, self._headers[n], tuple(self._records[n].values())) for n in SIDES}
        return Stored(self.path, self._source, runs, self._plans, self._whats)

    def finish(self) -> None:
        for name in SIDES:
            count = len(self._records[name])
            store.write_header(self.path / name, {**self._headers[name], "planned": count, "finished_at": _now()})

    def _header(self, name: str, began: str) -> dict[str, Any]:
        plan = self._plans[BASE if name == CONTROL else name]
        return {
            "suite": plan.suite,
            "source": self._source,
            "folder": str(Path.cwd()),
            "filter": self._pattern,
            "device": plan.device,
            "environment": plan.environment,
            "metrics": plan.metrics,
            "started_at": began,
            "planned": 0,
            "side": self._whats[name],
        }


def load(path: Path) -> Stored:
    """A stored comparison. Raises ResultsError when it is none, is damaged, or is of a newer polybench."""
    file = path / FILE
    if not file.is_file():
        raise ResultsError(f"{path} holds no comparison: there is no {FILE} in it")
    try:
        data = parsed(inside(path, FILE).read_text(encoding="utf-8"))
        number = data["schema_version"]
        if number > SCHEMA_VERSION:
            told = f"{file} has schema {number}, this polybench reads up to {SCHEMA_VERSION}; update polybench"
            raise ResultsError(told)
        plans = {name: SidePlan.from_json(data["plans"][name]) for name in (BASE, HEAD)}
        whats = {name: str(data["sides"][name]) for name in SIDES}
        source = str(data["source"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
        raise ResultsError(f"{file} is damaged: {reason(problem)}") from None
    return Stored(path, source, {name: store.load(path / name) for name in SIDES}, plans, whats)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
