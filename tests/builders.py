"""Runs, records and suites made of plain numbers, in memory and on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import settings

from polybench.compare import session_file
from polybench.compare.baseline import Baseline
from polybench.compare.comparison import Comparison
from polybench.compare.comparisons import Comparisons
from polybench.compare.drift import LEAST_SESSIONS
from polybench.compare.sessions import Session, session_of
from polybench.kind import Item, axes_of, kind_of
from polybench.machine.environment import nickname
from polybench.plan.suite import Suite
from polybench.record import Measurement, Record, Status
from polybench.report.section import Section
from polybench.run import store
from polybench.run.store import Run
from polybench.trial import Cell, Trial

LAWS = settings(max_examples=80, deadline=None, derandomize=True, database=None)

KINDS = ("speed", "memory", "pretrain")
JOB = "2026-01-01T00:00:00+00:00"
MACHINE = {
    "cpu": "toy", "cores": 2, "memory_GiB": 4, "governor": "none", "gpus": [], "driver": "", "load": [0.0],
    "python": "3.11", "torch": "2.6", "packages": {"torch": "2.6"}, "polybench": "0.1.0", "code": "c0de",
}  # fmt: skip


def suite(**changes: Any) -> Suite:
    """Three activations, the reference swiglu, one benchmark a kind that is called like its kind."""
    data = {
        "suite": "toy",
        "activations": ["relu", "swiglu", "polynorm"],
        "reference": "swiglu",
        "benchmarks": [{"name": kind, "kind": kind} for kind in KINDS],
        **changes,
    }
    return Suite.model_validate(data)


def cell(kind: str, activation: str, backend: str = "eager", dtype: str = "float32", **axes: Any) -> Cell:
    found = kind_of(kind)
    return Cell(kind, found.version, activation, backend, "cpu", dtype, axes_of(found, axes))


def record(
    kind: str,
    activation: str,
    values: Mapping[str, Sequence[float]] | None = None,
    *,
    seed: int = 0,
    control: bool = False,
    status: Status = Status.OK,
    error: str = "",
    facts: Mapping[str, str] | None = None,
    started_at: str = JOB,
    steps: Sequence[int] | None = None,
    backend: str = "eager",
    dtype: str = "float32",
    **axes: Any,
) -> Record:
    """One trial; `steps` are those of every metric that is a curve."""
    curves = {m.name for m in kind_of(kind).metrics if m.curve}
    return Record(
        trial=Trial(kind, cell(kind, activation, backend, dtype, **axes), seed, control),
        status=status,
        measurements=tuple(
            Measurement(name, tuple(v), tuple(steps) if steps and name in curves else None)
            for name, v in (values or {}).items()
        ),
        facts=dict(facts or {}),
        error=error,
        started_at=started_at,
        duration_s=1.0,
    )


def exact(bytes_of: Mapping[str, float], metric: str = "saved_bytes", **changes: Any) -> list[Record]:
    """One memory record an activation."""
    return [record("memory", name, {metric: [value]}, **changes) for name, value in bytes_of.items()]


def losses(loss_of: Mapping[str, Sequence[float]], metric: str = "val_loss", **changes: Any) -> list[Record]:
    """One pretrain record an activation and seed."""
    return [
        record("pretrain", name, {metric: [value]}, seed=seed, **changes)
        for name, values in loss_of.items()
        for seed, value in enumerate(values)
    ]


def times(
    factor_of: Mapping[str, float],
    *,
    copy: float = 1.0,
    launches: int = 3,
    blocks: int = 20,
    drift: float = 0.1,
    jitter: float = 1e-3,
    reference: str = "swiglu",
    metric: str = "total_time",
    **changes: Any,
) -> list[Record]:
    """Speed records whose blocks drift together: activation i takes `factor` times the yardstick.

    `copy` is the factor of the reference's second copy over its first; `jitter` is the deterministic
    unevenness of single samples.
    """
    found = []
    for launch in range(launches):
        yard = [1e-3 * (1 + drift * ((7 * b + 3 * launch) % 5)) for b in range(blocks)]
        arms = [*factor_of.items(), (reference, copy * factor_of.get(reference, 1.0))]
        for i, (name, factor) in enumerate(arms):
            wobble = [1 + jitter * ((5 * b + 3 * i + launch) % 7 - 3) / 3 for b in range(blocks)]
            mine = [y * factor * w for y, w in zip(yard, wobble, strict=True)]
            values = {metric: mine, "copy_time": yard}
            started = f"2026-01-01T00:00:0{launch}+00:00"
            arguments = {"seed": launch, "started_at": started, **changes}
            found.append(record("speed", name, values, control=i == len(factor_of), **arguments))
    return found


def run(
    records: Iterable[Record],
    of: Suite | None = None,
    path: Path | str = "results/toy/one",
    **environment: Any,
) -> Run:
    found = tuple(records)
    header = {
        "suite": (of or suite()).model_dump(mode="json"),
        "environment": {**MACHINE, **environment},
        "metrics": {k: [m.to_json() for m in kind_of(k).metrics] for k in KINDS},
        "device": "cpu",
        "started_at": JOB,
        "planned": len(found),
    }
    return Run(Path(path), header, found)


def across(one: Run, against: str | None = None, only: str | None = None) -> list[Comparison]:
    """Every cell and scalar metric of a run (or `only` one) beside an activation's, by default the reference's."""
    comparisons = Comparisons.of(one)
    if only is None:
        return list(comparisons.every(against))
    return list(comparisons.against(against or comparisons.reference, only).values())


def section(part: Any, one: Run) -> Section:
    """What a module of the report makes of a run."""
    made: Section = part.section(Comparisons.of(one))
    return made


def save(one: Run, path: Path, **header: Any) -> Path:
    """The run as a folder."""
    store.create(path, {**one.header, **header})
    if one.records:
        store.append(path, one.records)
    return path


def baseline(one: Run, sessions: int = LEAST_SESSIONS, spread: float = 0.005) -> Baseline:
    """The run as a baseline of so many sessions, whose levels lie `spread` to either side of its own, in turns."""
    comparisons = Comparisons.of(one)
    own = session_of(comparisons)

    def shifted(number: int) -> Session:
        shift = spread * (-1) ** number
        times = {key: replace(t, logs=tuple(log + shift for log in t.logs)) for key, t in own.times.items()}
        return replace(own, started_at=f"2025-12-{number + 1:02}T00:00:00+00:00", times=times)

    return Baseline(comparisons, tuple(map(shifted, range(sessions))) if own.times else ())


def save_baseline(one: Run, folder: Path, sessions: int = LEAST_SESSIONS, spread: float = 0.005) -> Path:
    """The same as a folder."""
    held = baseline(one, sessions, spread)
    save(changed(one, (r for r in one.records if r.trial.cell.kind != "speed"), started_at="2025-12-01"), folder)
    for session in held.sessions:
        file = folder / nickname(session.environment) / session_file.file_name(session)
        file.parent.mkdir(exist_ok=True)
        session_file.write(session, file)
    return folder


def changed(one: Run, keep: Any = None, **header: Any) -> Run:
    """The run with other records or header fields."""
    return replace(one, records=one.records if keep is None else tuple(keep), header={**one.header, **header})


def items(trial: Trial, **protocol: object) -> Iterator[Item]:
    """What the kind yields for the trial."""
    kind = kind_of(trial.cell.kind)
    for _, item in kind.run([trial], kind.axes(**dict(trial.cell.axes)), kind.protocol(**protocol)):
        yield item
