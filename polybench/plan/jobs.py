"""From a suite to jobs: which trials are measured, together with which, and in what order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from polybench.kind import Kind, Protocol, axes_of, kind_of
from polybench.plan.labels import Labels, unmatched
from polybench.plan.launching import Launching
from polybench.plan.making import Maker, ahead
from polybench.plan.matrix import combinations
from polybench.plan.shard import Shard
from polybench.plan.suite import Benchmark, Suite
from polybench.plan.tuning import TUNING, Tuning, asks
from polybench.record import Record
from polybench.trial import Cell, Job, Trial

Wanted = Callable[[Trial], bool]


@dataclass(frozen=True)
class Plan:
    """Jobs in the order they run: what must be alone first, and within that one repeat after the other.

    `later` are jobs whose learning rate is not known before others have ended; launches that follow from earlier ones
    are not in it, only their time is reckoned with. `labels` are those of the whole suite, whatever part of it this
    plan is.
    """

    jobs: tuple[Job, ...]
    later: tuple[Job, ...] = ()
    labels: Labels = field(default_factory=Labels)

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(t for job in (*self.jobs, *self.later) for t in job.trials)

    @property
    def cells(self) -> int:
        return len({(t.benchmark, t.cell.id) for t in self.trials})

    @property
    def joined(self) -> int:
        """How many of `later` may need no training, since by two words they may get the same rate."""
        asked = Counter((t.benchmark, t.cell.without("lr"), t.seed) for job in self.later for t in job.trials)
        return sum(count - 1 for count in asked.values())

    def seconds(self, slots: int) -> float:
        """A guess at the time on this many cores; timing jobs do not share them."""
        jobs = (*self.jobs, *self.later)
        alone = sum(j.seconds + j.ahead_s for j in jobs if j.alone)
        return alone + sum(j.seconds for j in jobs if not j.alone) / max(1, slots)

    def only(self, wanted: Callable[[Job], bool]) -> Plan:
        return replace(self, jobs=tuple(filter(wanted, self.jobs)), later=tuple(filter(wanted, self.later)))

    def shard(self, part: Shard | None) -> Plan:
        """The jobs of one part; all without one. Raises NothingMeasured when it is empty."""
        return replace(self, jobs=part.of(self.jobs), later=()) if part else self


def plan(suite: Suite, device: str, pattern: str | None = None, records: Sequence[Record] = ()) -> Plan:
    """Every job of the suite on this device; `pattern` (a glob on labels of trials) keeps the reference too.

    Where a benchmark tunes its learning rate, `records` decide what is tried next and with which rate the
    comparison runs; a filter on the comparison keeps all of its tuning. Of times they decide which further launches
    there are, and of what.

    Raises:
        NothingMeasured: the pattern matches no trial.
    """
    if pattern:
        whole = plan(suite, device, records=records)
        made = _planned(suite, device, records, whole.labels.chosen(whole.trials, pattern))
        if not made.jobs:
            raise unmatched(pattern)
        return replace(made, labels=whole.labels)
    made = _planned(suite, device, records, None)
    return replace(made, labels=Labels.of((*made.trials, *_of_later_seeds(suite, made))))


def _of_later_seeds(suite: Suite, made: Plan) -> Iterable[Trial]:
    """Tuning trials and launches that may follow, so that names do not change when they do."""
    later = {b.name + TUNING: b.tune.seeds for b in suite.benchmarks if b.tune}
    for benchmark in suite.benchmarks:
        kind = kind_of(benchmark.kind)
        if kind.decides and (rules := _protocol(kind, benchmark, suite).rules):
            later[benchmark.name] = [rules.most - 1]
    return (replace(t, seed=seed) for t in made.trials for seed in later.get(t.benchmark, ()))


def unfolds(suite: Suite) -> bool:
    """Whether what is measured later depends on what was measured before."""
    return suite.tunes or any(kind_of(b.kind).decides for b in suite.benchmarks)


def _planned(suite: Suite, device: str, records: Sequence[Record], wanted: Wanted | None) -> Plan:
    jobs: list[Job] = []
    later: list[Job] = []
    for benchmark in suite.benchmarks:
        mine = list(_jobs(suite, benchmark, device, wanted, records))
        if benchmark.tune:
            tuning, mine, waiting = _tuned(suite, benchmark, device, wanted, mine, records)
            jobs += tuning
            later += waiting
        jobs += mine
    return Plan(tuple(sorted(jobs, key=lambda j: not j.alone)), tuple(later))


def _jobs(
    suite: Suite, benchmark: Benchmark, device: str, wanted: Wanted | None, records: Sequence[Record]
) -> Iterable[Job]:
    kind = kind_of(benchmark.kind)
    protocol = _protocol(kind, benchmark, suite)
    rules = protocol.rules
    launching = Launching(rules, kind.decides, suite.reference, records) if rules and kind.decides else None
    make, groups = Maker(kind, protocol, benchmark), _groups(suite, benchmark, kind, device)
    for repeat in _repeats(kind, protocol, suite.seeds_of(benchmark)):
        trials_of = [[replace(t, seed=repeat) for t in group] for group in groups] if repeat else groups
        chosen = _filtered(trials_of, suite.reference, wanted, kind.interleaved)
        if not launching:
            yield from map(make.job, chosen)
            continue
        known = [(trials, needed) for trials in chosen if (needed := launching.needed(trials))]
        if not (known or wanted):
            return  # no later launch is known either
        for trials, needed in known:
            yield ahead(make.job(needed), repeat, launching.ends(trials), launching.rules)


def _tuned(
    suite: Suite,
    benchmark: Benchmark,
    device: str,
    wanted: Wanted | None,
    mine: Sequence[Job],
    records: Sequence[Record],
) -> tuple[list[Job], list[Job], list[Job]]:
    """(jobs that tune, jobs that can run, jobs that wait for the tuning) of a benchmark with `tune`."""
    kind = kind_of(benchmark.kind)
    protocol = _protocol(kind, benchmark, suite)
    cells = [t.cell for group in _groups(suite, benchmark, kind, device) for t in group]
    tunings = Tuning.by_cell(benchmark, kind.objective, cells, records)
    groups = [[t] for t in dict.fromkeys(t for tuning in tunings.values() for t in tuning.trials)]
    if not any(asks(j.trials[0].cell) for j in mine):
        groups = list(_filtered(groups, suite.reference, wanted, interleaved=False))
    now: list[Job] = []
    waiting: list[Job] = []
    for job in mine:
        (trial,) = job.trials
        tuning = tunings.get(trial.cell)
        if tuning is None:
            now.append(job)
        elif tuning.ended:
            now.append(replace(job, trials=(replace(trial, rate=tuning.rate(trial.cell)),)))
        else:
            waiting.append(job)
    make = Maker(kind, protocol.lean(), benchmark)
    return [make.job(group) for group in groups], _as_one(now), waiting


def _as_one(jobs: Sequence[Job]) -> list[Job]:
    """Trials that ask for a rate by several words and get the same one are one training, in one job."""
    alike: dict[object, list[Job]] = defaultdict(list)
    for job in jobs:
        (trial,) = job.trials
        alike[trial.id if trial.rate is None else (trial.cell.without("lr"), trial.rate, trial.seed)].append(job)
    return [
        replace(group[0], trials=tuple(t for job in group for t in job.trials), as_one=len(group) > 1)
        for group in alike.values()
    ]


def _protocol(kind: Kind, benchmark: Benchmark, suite: Suite) -> Protocol:
    """What the benchmark says, and what it leaves to the suite."""
    return kind.protocol(**{**kind.protocol.of_suite(suite.margin), **benchmark.protocol})


def _repeats(kind: Kind, protocol: object, seeds: list[int]) -> Iterable[int]:
    if kind.repeats == "seeds":
        return seeds
    return range(protocol.launches) if kind.repeats == "launches" else (0,)  # type: ignore[attr-defined]


def _groups(suite: Suite, benchmark: Benchmark, kind: Kind, device: str) -> list[list[Trial]]:
    """The trials that one job measures, job by job, with the seed 0.

    Activation after activation within a point of the matrix, the reference's second copy last.
    """
    groups: dict[object, list[Trial]] = defaultdict(list)
    for axes in dict.fromkeys(axes_of(kind, values) for values in combinations(benchmark.matrix, kind)):
        for dtype in benchmark.dtypes:
            for backend in benchmark.backends:
                cells = [
                    Cell(kind.name, kind.version, name, backend, device, dtype, axes)
                    for name in suite.activations_of(benchmark)
                ]
                trials = [Trial(benchmark.name, cell, 0) for cell in cells]
                if kind.interleaved:
                    reference = next((c for c in cells if c.activation == suite.reference), cells[0])
                    trials.append(Trial(benchmark.name, reference.of(suite.reference), 0, control=True))
                for trial in trials:
                    groups[(dtype, axes) if kind.interleaved else trial.id].append(trial)
    return list(groups.values())


def _filtered(
    groups: list[list[Trial]], reference: str, wanted: Wanted | None, interleaved: bool
) -> Sequence[list[Trial]]:
    """Trials that match, with the reference they are divided by."""
    if not wanted:
        return groups
    matched = [t for trials in groups for t in trials if wanted(t)]
    ids = {t.id for t in matched} | {
        Trial(t.benchmark, t.cell.of(reference), t.seed, control).id
        for t in matched
        for control in (False, interleaved)
    }
    kept = [[t for t in trials if t.id in ids] for trials in groups]
    return [trials for trials in kept if trials]
