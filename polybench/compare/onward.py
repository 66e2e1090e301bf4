"""What to measure next, so that claims that are not resolved become so: further seeds, as many as are of use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count, islice

from polybench.compare.claims import Judgement
from polybench.kind import kind_of
from polybench.plan.suite import Suite
from polybench.record import Record

MOST_GROWTH = 3  # times as many seeds as there are at once: a spread that few seeds show is not known well


def onward(
    found: Sequence[Judgement], suite: Suite, records: Iterable[Record], left_s: float, slots: int
) -> Suite | str:
    """The suite with further seeds, or why nothing further is measured.

    As many are added as are advised, in one batch, since every look costs; where seconds are left for fewer, so many.
    """
    wanted: dict[str, int] = {}
    for case in (c for one in found if one.ruling == "not resolved" for c in one.cases):
        if case.ruling == "not resolved" and case.more and case.more.seeds:
            wanted[case.point.benchmark] = max(wanted.get(case.point.benchmark, 0), case.more.seeds)
    if not wanted:
        return _settled(found)
    shared = {b.name for b in suite.benchmarks if not b.seeds and kind_of(b.kind).repeats == "seeds"}
    growing = shared | set(wanted) if shared & set(wanted) else set(wanted)
    cost = _seconds(records, growing) / slots
    affordable = int(left_s / cost) if cost else max(wanted.values())
    if affordable < 1:
        return f"the budget is spent, and another seed would take about {cost:.0f} s"
    return _extended(suite, {name: min(number, affordable) for name, number in wanted.items()})


def _settled(found: Sequence[Judgement]) -> str:
    """Why no seed helps: what would, of the first claim that is open."""
    if all(one.ruling != "not resolved" for one in found):
        return "every claim is answered"
    case = next((c for o in found if o.ruling == "not resolved" for c in o.cases if c.ruling == "not resolved"), None)
    if case is None:
        return "no cell of both activations was measured"
    if case.more and case.more.launches:
        return "the launches of this run have ended; judge its suite anew with a larger --budget"
    return case.more.words if case.more else case.diverged or case.note


def _seconds(records: Iterable[Record], benchmarks: set[str]) -> float:
    """What a seed of these benchmarks took, all of its trainings one after the other."""
    mine = [r for r in records if r.trial.benchmark in benchmarks]
    seeds = {(r.trial.benchmark, r.trial.seed) for r in mine}
    return sum(r.duration_s for r in mine) / max(1, len(seeds)) * len(benchmarks)


def _extended(suite: Suite, wanted: dict[str, int]) -> Suite:
    """With so many further seeds by benchmark, at most `MOST_GROWTH` times as many as it has."""
    tuning = {seed for b in suite.benchmarks if b.tune for seed in b.tune.seeds}

    def further(seeds: Sequence[int], number: int) -> list[int]:
        fresh = (seed for seed in count() if seed not in seeds and seed not in tuning)
        return [*seeds, *islice(fresh, min(number, MOST_GROWTH * len(seeds)))]

    benchmarks = [
        b.model_copy(update={"seeds": further(b.seeds, wanted[b.name])}) if b.seeds and b.name in wanted else b
        for b in suite.benchmarks
    ]
    shared = max((wanted[b.name] for b in suite.benchmarks if not b.seeds and b.name in wanted), default=0)
    return suite.model_copy(update={"benchmarks": benchmarks, "seeds": further(suite.seeds, shared)})
