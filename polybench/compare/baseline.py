"""A baseline: what a run is held against, kept small and readable so that it can be committed.

    results/baselines/NAME/run.json, records.jsonl     what holds on any machine: bytes, counts, losses
    results/baselines/NAME/MACHINE/MOMENT.json         times of that machine, a file a session

Any whole run serves as a baseline too: its times are then one session.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from polybench.compare import session_file
from polybench.compare.comparisons import Comparisons
from polybench.compare.sessions import Session, session_of
from polybench.machine.environment import nickname
from polybench.run import store
from polybench.run.store import Run

FOLDER = store.ROOT / "baselines"


@dataclass(frozen=True)
class Baseline:
    """`compared` holds what does not hang on the machine, `sessions` the times, oldest first."""

    compared: Comparisons
    sessions: tuple[Session, ...]

    @classmethod
    def of(cls, run: Run) -> Baseline:
        """A run as it stands: its times are one session."""
        compared = Comparisons.of(run)
        session = session_of(compared)
        return cls(compared, (session,) if session.times else ())

    @property
    def run(self) -> Run:
        """As it was stored."""
        return self.compared.stored

    @property
    def name(self) -> str:
        return self.run.path.name

    @property
    def empty(self) -> bool:
        return not (self.run.records or self.sessions)

    @property
    def machines(self) -> dict[str, tuple[Session, ...]]:
        """Sessions by the name of their machine's folder."""
        names = dict.fromkeys(nickname(s.environment) for s in self.sessions)
        return {name: tuple(s for s in self.sessions if nickname(s.environment) == name) for name in names}


def find(text: str | None, root: Path = FOLDER) -> Path:
    """The folder of a baseline, by its path or its name; of a run where there is none.

    Raises:
        ResultsError: there is neither.
    """
    if text and not os.path.isfile(os.path.join(text, store.RUN_FILE)):  # Path.is_file raises on a name too long
        named = os.path.join(root, text)
        if os.path.isfile(os.path.join(named, store.RUN_FILE)):
            return Path(named)
    return store.find(text)


def load(path: Path) -> Baseline:
    """The baseline in a folder. Raises ResultsError where it is damaged."""
    own = Baseline.of(store.load(path))
    stored = [session_file.read(file) for file in files(path)]
    return replace(own, sessions=tuple(sorted([*own.sessions, *stored], key=lambda s: s.started_at)))


def files(path: Path) -> list[Path]:
    """The sessions of a baseline, by how they are named: other JSON below it is somebody else's."""
    return sorted(path.glob("*/[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*.json"))


def is_baseline(path: Path) -> bool:
    """Whether a folder is a baseline's own, from which may be taken away, and no run's.

    Raises:
        ResultsError: the folder is neither.
    """
    kept = path.absolute().parent == FOLDER.absolute() or bool(files(path))  # older versions left no mark
    return kept or bool(store.read_header(path).get("baseline"))


def names(root: Path = FOLDER) -> list[Path]:
    return sorted(file.parent for file in root.glob(f"*/{store.RUN_FILE}"))
