"""An open run: a new folder, one gone on with, or a part of one, and what is left to do in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from polybench.errors import ResultsError, UsageError
from polybench.files import inside, share
from polybench.kind import kind_of
from polybench.machine.environment import capture, choose_device, differences, fingerprint, together
from polybench.plan.jobs import Plan, plan
from polybench.plan.located import dotted
from polybench.plan.shard import Shard
from polybench.plan.suite import Suite
from polybench.ranks import place
from polybench.record import CHECKPOINT_FOLDER, Record
from polybench.run import store
from polybench.run.batches import looks_of
from polybench.run.changed import code_changes, folder_changes, suite_changes
from polybench.run.planned import done_already, planned, with_added_seeds
from polybench.run.plugins import plugins
from polybench.trial import kept_name

_OF_THE_WHOLE = ("sources", "missing", "finished_at", "environment_after")  # in a header; no part inherits it


@dataclass(frozen=True)
class Session:
    """An open run: its folder, its suite, what is left to do, and how much of it was done before.

    `known` are the records that later stages are planned from, `machine` is the fingerprint of this one, `forced`
    whether it goes on whatever has changed. `stored` is the run as it was when it was opened again.
    """

    path: Path
    suite: Suite
    todo: Plan
    done: int
    header: dict[str, Any]
    known: tuple[Record, ...] = ()
    machine: str = ""
    forced: bool = False
    stored: store.Run | None = None


def profiled(suite: Suite) -> Suite:
    """The suite with a profile of every benchmark whose kind can be profiled. Raises UsageError when none can."""
    asked = {b.name: kind_of(b.kind).protocol.with_profile() for b in suite.benchmarks}
    if not any(asked.values()):
        raise UsageError(f"--profile: no benchmark of {suite.suite} is of a kind that can be profiled, such as speed")
    benchmarks = [b.model_copy(update={"protocol": {**b.protocol, **asked[b.name]}}) for b in suite.benchmarks]
    return suite.model_copy(update={"benchmarks": benchmarks})


def begin(
    suite: Suite, out: Path | None, pattern: str | None, source: str, part: Shard | None = None, remote: bool = False
) -> Session:
    """Open a new run folder, of the whole plan or of one part; `remote` when other machines will measure.

    Raises:
        ResultsError: the folder holds something already, or cannot be made.
        NothingMeasured: the pattern matches no trial, or the part is empty.
        UsageError: the device is not there.
    """
    device = suite.device if remote else choose_device(suite.device)
    todo = plan(suite, device, pattern)
    now, here = datetime.now(UTC), {**capture(), **plugins(todo)}
    path = out or store.free(store.ROOT / suite.suite / now.strftime("%Y-%m-%dT%H-%M-%S"))
    header: dict[str, Any] = {
        "suite": suite.model_dump(mode="json"),
        "source": source,
        "folder": str(Path.cwd()),
        "filter": pattern,
        "device": device,
        "environment": here,
        "metrics": _metrics(suite),
        "started_at": now.isoformat(timespec="seconds"),
        "planned": len(todo.trials),
        **({"processes": count} if (count := processes(suite)) > 1 else {}),
    }
    whole = Session(path, suite, todo, 0, header, machine=fingerprint(here))
    return _opened(_part(whole, part) if part else whole)


def part_of(whole: Session, part: Shard, out: Path) -> Session:
    """A part of what is left of a run, in a new folder of its own, which `merge.adopt` brings back.

    Its trainings go on from what the run holds of them.

    Raises:
        ResultsError: the folder holds something already, or cannot be made.
        NothingMeasured: the part is empty.
    """
    kept = {k: v for k, v in whole.header.items() if k not in _OF_THE_WHOLE}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    here = {**capture(), **plugins(whole.todo)}
    header = {**kept, "environment": here, "started_at": now, "part_of": str(whole.path.resolve())}
    opened = _opened(_part(replace(whole, path=out, header=header, done=0, stored=None), part))
    for name in (f"{CHECKPOINT_FOLDER}/{kept_name(trial, 'resume')}" for trial in opened.todo.trials):
        share(inside(whole.path, name), inside(out, name))
    return opened


def _part(whole: Session, part: Shard) -> Session:
    todo = whole.todo.shard(part)
    ids = [t.id for t in todo.trials]
    return replace(whole, todo=todo, header={**whole.header, "shard": str(part), "trials": ids, "planned": len(ids)})


def _opened(session: Session) -> Session:
    store.create(session.path, session.header)
    return session


def resume(path: Path, suite: Suite | None, force: bool, remote: bool = False) -> Session:
    """Open a run again with the jobs that are not settled.

    A run of several machines goes on on any; so does every run where other machines will measure (`remote`), and a
    part of one, which a cluster begins anew elsewhere when its node is lost.

    A suite may have further seeds: what the run had before is a look that it was judged with. A part takes its share
    of them.

    Raises:
        ResultsError: the suite, the code or the machine changed otherwise, unless `force`.
    """
    old = store.load(path)
    known = (*_above(old), *old.records)
    try:
        chosen = suite or Suite.model_validate(old.header["suite"])
        own = with_added_seeds(old.header, chosen, known)
        whole = planned(chosen, own, known)
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        if first["type"] == "extra_forbidden":
            raise ResultsError(
                f"{path / store.RUN_FILE}: {dotted(first['loc'])} is not known here, as where a newer polybench wrote "
                "it; update polybench to go on with it, or start a new run"
            ) from None
        why = first["msg"].removeprefix("Value error, ")
        began = old.header.get("folder", str(Path.cwd()))
        there = f"; it was started in {began}, so go on there" if began != str(Path.cwd()) else ""
        raise ResultsError(f"{path} cannot be resumed: {why}{there}") from None
    now, count = {**capture(), **plugins(whole)}, processes(chosen)
    asked = chosen.model_dump(mode="json")
    changes = [*suite_changes(old.header["suite"], asked), *code_changes(old.environment, now)]
    if count != old.header.get("processes", 1):
        changes.append(f"the number of processes ({old.header.get('processes', 1)} / {count})")
    changes += [] if remote else folder_changes(old.header, whole)
    moved = [] if remote or "sources" in old.header else differences(old.environment, now)
    if moved and "part_of" not in old.header:
        changes += [f"the machine ({difference})" for difference in moved]
        moved = []
    if changes and not force:
        raise ResultsError(
            f"{path} cannot be resumed, these changed: {', '.join(changes)}; "
            "start a new run, or mix them with polybench run --resume and --force"
        )
    records = {r.trial.id: r for r in known}
    todo = whole.only(lambda job: not done_already(job, records))
    header = {
        **own,
        "suite": asked,
        "planned": len(whole.trials),
        "metrics": {**old.header["metrics"], **_metrics(chosen)},
        "forced": [*dict.fromkeys([*old.header.get("forced", []), *changes])],
    }
    if looks := looks_of([old.header, {"suite": asked}]):
        header["looks"] = looks
    if ("sources" in header or moved) and not remote:
        seen = [now] if "sources" in header else [old.environment, now]
        began = {"run": str(path), "started_at": old.header["started_at"]}
        header = joined(header, [{**began, "environment": one} for one in seen])
    done = len(whole.trials) - len(todo.trials)
    return Session(path, chosen, todo, done, header, known, fingerprint(now), force, old)


def joined(header: dict[str, Any], sources: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The header of a run that has records of these runs too, each with the environment it was measured in."""
    found = {(s["run"], fingerprint(s["environment"])): s for s in (*header.get("sources", []), *sources)}
    everywhere = together([s["environment"] for s in found.values()])
    return {**header, "sources": list(found.values()), "environment": everywhere}


def processes(suite: Suite) -> int:
    """How many processes train one model."""
    here = place().size
    return suite.processes if suite.launcher and here == 1 else here


def _metrics(suite: Suite) -> dict[str, Any]:
    """Metric definitions by kind, which make the folder explain itself."""
    return {k: [m.to_json() for m in kind_of(k).metrics] for k in sorted({b.kind for b in suite.benchmarks})}


def _above(part: store.Run) -> tuple[Record, ...]:
    """What the run knows that a part was taken of: its tuning decides what the part measures."""
    above = part.header.get("part_of")
    return store.load(Path(above)).records if above else ()
