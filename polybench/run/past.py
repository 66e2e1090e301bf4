"""All that is kept of a suite: its runs, those that were published, and baselines, by when they began."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from polybench.errors import NothingMeasured, ResultsError, did_you_mean
from polybench.plan.suite import KEPT_NAMES
from polybench.run.faults import parsed
from polybench.run.store import ROOT, RUN_FILE

_DEPTHS = range(2, 6)  # of run.json below the root: suite/run, baselines/name/machine/session
Shelf = Literal["run", "published", "baseline"]


@dataclass(frozen=True, order=True)
class Kept:
    """A folder with a run in it; `started_at` and `suite` are as its header has them."""

    started_at: str
    path: Path
    suite: str
    shelf: Shelf


def past(suite: str | None = None, root: Path = ROOT) -> list[Kept]:
    """What is kept of a suite, or of the one that was begun last, the oldest first.

    Parts of runs that other machines measured are left out: what was made of them has their records.

    Raises:
        NothingMeasured: nothing is kept of it.
    """
    every = sorted(_kept(root))
    if not every:
        raise NothingMeasured(f"there is no run under {root}/ yet; start with `polybench run suites/quick.yaml`")
    wanted = every[-1].suite if suite is None else suite
    found = [one for one in every if one.suite == wanted]
    if not found:
        raise NothingMeasured(f"no run of a suite {wanted!r} is under {root}/, {did_you_mean(wanted, _names(every))}")
    return found


def _names(every: list[Kept]) -> set[str]:
    return {one.suite for one in every}


def _kept(root: Path) -> Iterator[Kept]:
    for depth in _DEPTHS:
        for file in root.glob("/".join(["*"] * (depth - 1) + [RUN_FILE])):
            header = _header(file)
            if "part_of" in header or "shard" in header:
                continue
            suite = header.get("suite")
            name = suite.get("suite") if isinstance(suite, dict) else None
            of = str(name or file.parent.parent.name)  # of one that cannot be read: where it lies
            yield Kept(str(header.get("started_at", "")), file.parent, of, _shelf(file, root))


def _shelf(file: Path, root: Path) -> Shelf:
    first = file.relative_to(root).parts[0]
    if first not in KEPT_NAMES:
        return "run"
    return "published" if first == "published" else "baseline"


def _header(file: Path) -> dict[str, Any]:
    """What the header says; nothing of one that cannot be read, which whoever loads the run will say."""
    try:
        data = parsed(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, ResultsError):
        return {}
    return data if isinstance(data, dict) else {}
