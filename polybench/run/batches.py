"""Seeds that a run was given after it had been judged: which batches there were, and whether all else is equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from polybench.kind import registered

Stored = Mapping[str, Any]  # a suite, or the header of a run, as JSON
_BUDGET = "budget_s"  # of a protocol
Looks = dict[str, list[list[int]]]  # by benchmark the seeds of every earlier look


def equal_but_for_seeds(one: Stored, other: Stored) -> bool:
    """Whether two suites ask the same with however many seeds and however much time; descriptions, and what was
    published, ask nothing."""
    return _asked(one) == _asked(other)


def timeless(suite: Stored) -> dict[str, Any]:
    """The suite without how long its jobs may take, which decides none of their numbers: who was stopped, or ended
    undecided, may be given more."""
    return {**suite, "benchmarks": [_timeless(b) for b in suite.get("benchmarks", ())]}


def _timeless(benchmark: Stored) -> dict[str, Any]:
    kind = registered(str(benchmark.get("kind")))
    free = {_BUDGET} & kind.protocol.how_often if kind else set()
    protocol = {name: value for name, value in (benchmark.get("protocol") or {}).items() if name not in free}
    return {**benchmark, "timeout_s": None, "protocol": protocol}


def keeps_seeds(old: Stored, new: Stored) -> bool:
    """Whether every benchmark of the old suite has all its seeds in the new one, too."""
    now = seeds_of(new)
    return all(set(seeds) <= set(now.get(name, ())) for name, seeds in seeds_of(old).items())


def seeds_of(suite: Stored) -> dict[str, list[int]]:
    """By benchmark, its own or the suite's."""
    return {b["name"]: b.get("seeds") or suite.get("seeds", []) for b in suite["benchmarks"]}


def looks_of(headers: Iterable[Stored]) -> Looks:
    """The looks before the last, where runs come one after the other and add their seeds: one wherever some came."""
    looks: Looks = {}
    for header in headers:
        for name, seeds in seeds_of(header["suite"]).items():
            known = looks.setdefault(name, [])
            for batch in (*header.get("looks", {}).get(name, ()), seeds):
                together = sorted({*(known[-1] if known else ()), *batch})
                if not known or together != known[-1]:
                    known.append(together)
    return {name: batches[:-1] for name, batches in looks.items() if len(batches) > 1}


def united(suites: Sequence[Stored]) -> dict[str, Any]:
    """The first of several suites that are equal but for seeds, with the seeds of all."""

    def every(parts: Sequence[Stored]) -> list[int] | None:
        return sorted({s for part in parts for s in part["seeds"]}) if parts[0].get("seeds") else None

    columns = zip(*(suite["benchmarks"] for suite in suites), strict=True)
    first = suites[0]
    benchmarks = [{**parts[0], "seeds": every(parts)} for parts in columns]
    return {**first, "seeds": every(suites), "benchmarks": benchmarks} if len(suites) > 1 else dict(first)


def _asked(suite: Stored) -> dict[str, Any]:
    benchmarks = [{**b, "seeds": bool(b.get("seeds"))} for b in timeless(suite)["benchmarks"]]
    claims = [{k: v for k, v in claim.items() if k not in ("source", "reported")} for claim in suite.get("claims", ())]
    return {**suite, "description": "", "seeds": None, "benchmarks": benchmarks, "claims": claims}
