"""What one run says of a suite's history: its values cell by cell, and where, when and with what it measured."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polybench.compare.comparisons import Comparisons
from polybench.compare.points import Point, typical
from polybench.compare.sessions import is_timed
from polybench.machine.environment import differences
from polybench.metric import Metric
from polybench.plan.suite import Suite
from polybench.run.past import Kept, Shelf
from polybench.run.store import Run
from polybench.stats import Estimate, paired
from polybench.trial import Cell

Place = tuple[str, str, Cell]  # a metric, a benchmark and a cell
_SOFTWARE = "software."  # how the fields of the fingerprint begin that are no hardware
_HOW = ("protocol", "tune", "seeds")  # of a benchmark: what may differ where the cells are the same


@dataclass(frozen=True)
class Told:
    """What a session says of one metric of one cell.

    `shown` is the value, or of what `drifts` its ratio to the reference, with its interval. `seeds` are the values by
    seed and text, of what varies with the seed.
    """

    shown: Estimate
    seeds: Mapping[tuple[int, str], float] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """A run without its records, or what a baseline stores of one.

    `trials` say which were carried out, none where that is not stored, `ended` how many ended with which words, `whole`
    that none was left out on purpose. `metrics` are those that are told.
    """

    name: str
    path: str
    shelf: Shelf
    started_at: str
    device: str
    environment: Mapping[str, Any]
    suite: Suite
    whole: bool
    trials: frozenset[tuple[str, str]]
    ended: Mapping[str, int]
    metrics: Mapping[str, Metric]
    margins: Mapping[str, float]
    told: Mapping[Place, Told]


def session(run: Run, kept: Kept, names: Sequence[str] = ()) -> Session:
    """What a run says of the metrics of these names, or of those that its suite gates or a report sums up."""
    comparisons = Comparisons.of(run)
    known = {name: m for name, m in comparisons.metrics().items() if not m.curve}
    gated = {rule.metric for rule in run.suite.gate}
    wanted = {name: m for name, m in known.items() if (name in names if names else m.header or name in gated)}
    return Session(
        name=run.name,
        path=str(run.path),
        shelf=kept.shelf,
        started_at=kept.started_at,
        device=run.device,
        environment=run.environment,
        suite=run.suite,
        whole=run.header.get("filter") is None and kept.shelf != "baseline",
        trials=frozenset((r.trial.id, r.started_at) for r in run.records),
        ended=dict(Counter(r.status.words for r in run.records)),
        metrics=wanted,
        margins={b.name: comparisons.grid.margin(b.name) for b in run.suite.benchmarks},
        told=dict(_told(comparisons, wanted)),
    )


def _told(comparisons: Comparisons, wanted: Mapping[str, Metric]) -> Iterator[tuple[Place, Told]]:
    for point in comparisons.points():
        own = comparisons.run.metrics[point.cell.kind]
        for name in (n for n in wanted if n in own):
            if found := _of_point(comparisons, point, own[name]):
                yield (name, point.benchmark, point.cell), found


def _of_point(comparisons: Comparisons, point: Point, metric: Metric) -> Told | None:
    """Nothing where there is no number, or where seeds diverged, of which a mean over the others says nothing."""
    if is_timed(metric):
        change = comparisons.to_reference(metric.name)[point].change
        return Told(change) if change and 0 < change.value < math.inf else None
    value = typical(point, metric)
    if value is None or not math.isfinite(value) or (metric.varies_with == "seed" and point.diverged):
        return None
    if metric.varies_with == "nothing":
        return Told(Estimate(value, value, value, 1))
    seeds = {
        (r.trial.seed, r.facts.get("corpus", "")): statistics.fmean(m.values)
        for r in point.ok()
        if (m := r.get(metric.name)) and m.values
    }
    return Told(paired(list(seeds.values())), seeds) if seeds else None


def distinct(sessions: Sequence[Session]) -> tuple[list[Session], list[tuple[Session, Session]]]:
    """Those that hold trials of their own, and pairs of one that does not and the one that has them all.

    A baseline holds trials of the run that it was kept from, a merged run those of its parts. A stored session is of
    the run that began with it on its machine.
    """
    order: tuple[Shelf, ...] = ("run", "published", "baseline")
    fullest = sorted(sessions, key=lambda s: (-len(s.trials), order.index(s.shelf)))
    kept: list[Session] = []
    within: list[tuple[Session, Session]] = []
    for one in fullest:
        if whole := next((other for other in kept if _within(one, other)), None):
            within.append((one, whole))
        else:
            kept.append(one)
    return sorted(kept, key=lambda s: s.started_at), within


def _within(one: Session, other: Session) -> bool:
    if one.trials:
        return one.trials <= other.trials
    return one.started_at == other.started_at and one.told.keys() <= other.told.keys() and not _apart(one, other)


def machines(sessions: Sequence[Session]) -> list[str]:
    """A letter for the machine of each session: the same where no recorded field of hardware differs."""
    known: list[Session] = []
    letters = []
    for one in sessions:
        at = next((i for i, other in enumerate(known) if not _apart(one, other)), len(known))
        if at == len(known):
            known.append(one)
        letters.append(letter(at))
    return letters


def letter(place: int) -> str:
    """A to Z, then A2 and on."""
    return chr(ord("A") + place % 26) + (str(place // 26 + 1) if place >= 26 else "")


def _apart(one: Session, other: Session) -> list[str]:
    if one.device != other.device:
        return [f"device: {one.device} / {other.device}"]
    found = differences(one.environment, other.environment)
    return [d for d in found if not d.startswith(_SOFTWARE)]


def beside(one: Session, other: Session, benchmark: str) -> tuple[str, ...]:
    """What else changed from one session to another: code, packages, settings, machine, and how it was measured."""
    was, now = one.environment, other.environment
    told = [f"{name} {was[name]} → {now[name]}" for name in ("revision", "code") if _both(was, now, name)]
    before, after = was.get("packages", {}), now.get("packages", {})
    every = dict.fromkeys((*before, *after) if before and after else ())  # a stored session names none
    moved = [name for name in every if before.get(name) != after.get(name)]
    told += [f"{name} {before.get(name) or 'none'} → {after.get(name) or 'none'}" for name in moved]
    software = [d.removeprefix(_SOFTWARE) for d in differences(was, now) if d.startswith(_SOFTWARE)]
    told += [d.replace(": ", " ", 1).replace(" / ", " → ") for d in software if d.partition(":")[0] not in moved]
    if apart := _apart(one, other):
        told.append(f"the machine ({'; '.join(d.replace(' / ', ' → ') for d in apart)})")
    mine, theirs = (_benchmark(s.suite, benchmark) for s in (one, other))
    told += [f"{name} of {benchmark}" for name in _HOW if mine.get(name) != theirs.get(name)]
    return tuple(told)


def _both(was: Mapping[str, Any], now: Mapping[str, Any], name: str) -> bool:
    return bool(was.get(name) and now.get(name) and was[name] != now[name])


def _benchmark(suite: Suite, name: str) -> Mapping[str, Any]:
    found = next((b for b in suite.benchmarks if b.name == name), None)
    return {key: getattr(found, key, None) for key in _HOW} if found else {}
