"""What a plan comes to, benchmark by benchmark: what varies over which values, what is held constant, how long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from polybench.kind import kind_of
from polybench.plan.governing import governing, name_of
from polybench.plan.jobs import Plan
from polybench.plan.matrix import RESERVED
from polybench.plan.suite import Benchmark, Rule, Suite, Tune
from polybench.plan.tuning import MOST_APART, TUNING, UNTUNED
from polybench.spec import Scalar
from polybench.trial import Cell

Named = tuple[tuple[str, Scalar], ...]


@dataclass(frozen=True)
class Varied:
    """Axes that vary, and their values; several axes where not every combination is measured."""

    axes: tuple[str, ...]
    values: tuple[tuple[Scalar, ...], ...]


@dataclass(frozen=True)
class Held:
    """A gate rule, by its place in the suite, and the labels of the cells that it holds."""

    rule: int
    name: str
    tolerance: float
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """One benchmark of a plan. `named` and `protocol` are what the suite says, `defaults` the axes it leaves alone.

    `then` is what may follow once its values are known, of which no trial is counted yet; `joined` trials may turn out
    to be trainings that others are already; `gate` are the rules that hold cells of it.
    """

    benchmark: str
    kind: str
    cells: int
    trials: tuple[str, ...]  # their labels
    estimated_s: float  # with other work beside it where its jobs allow that
    varied: tuple[Varied, ...]
    named: Named
    defaults: Named
    protocol: Named
    then: str = ""
    joined: int = 0
    gate: tuple[Held, ...] = ()

    def to_json(self) -> dict[str, Any]:
        varied = [{"axes": list(v.axes), "values": [list(values) for values in v.values]} for v in self.varied]
        rest = {key: dict(getattr(self, key)) for key in ("named", "defaults", "protocol")}
        return {**asdict(self), "estimated_s": round(self.estimated_s, 1), "varied": varied, **rest}


def summaries(plan: Plan, suite: Suite, slots: int) -> list[Summary]:
    """One for each benchmark of the plan, in the order of the suite, its tuning before it; on this many cores."""
    known = {name: b for b in suite.benchmarks for name in (b.name + TUNING, b.name)}
    there = {t.benchmark for t in plan.trials}
    return [_summary(_part(plan, name), known[name], slots, suite.gate) for name in known if name in there]


def _part(plan: Plan, benchmark: str) -> Plan:
    return plan.only(lambda job: job.trials[0].benchmark == benchmark)


def _summary(part: Plan, benchmark: Benchmark, slots: int, rules: Sequence[Rule]) -> Summary:
    trials = part.trials
    repeat = {"seeds": "seed", "launches": "launch"}.get(kind_of(trials[0].cell.kind).repeats)
    once = dict.fromkeys((t.cell, t.seed if repeat else 0) for t in trials if not t.control)
    fields = [_fields(cell) | ({repeat: seed} if repeat else {}) for cell, seed in once]
    varied = _varied(fields)
    varying = {axis for v in varied for axis in v.axes}
    matrix = {k: v for k, v in benchmark.matrix.items() if k not in RESERVED}
    shared = {k: v for k, v in fields[0].items() if k not in varying and k not in ("activation", "seed", "launch")}
    # What a preset or a dial stands for is in the cell, the word itself is not.
    words = {k: v for k, v in matrix.items() if k not in (*fields[0], *UNTUNED) and not isinstance(v, list)}
    own = {*matrix, "backend", "dtype"}
    return Summary(
        benchmark=trials[0].benchmark,
        kind=benchmark.kind,
        cells=part.cells,
        trials=tuple(map(part.labels.of_trial, trials)),
        estimated_s=part.seconds(slots),
        varied=tuple(varied),
        named=tuple({**words, **{k: v for k, v in shared.items() if k in own}}.items()),
        defaults=tuple((k, v) for k, v in shared.items() if k not in own),
        protocol=tuple(benchmark.protocol.items()),
        then=_then(benchmark.tune)
        if benchmark.tune and trials[0].benchmark.endswith(TUNING)
        else _further(benchmark) or _joined(part.joined),
        joined=part.joined,
        gate=tuple(_held(part, rules)),
    )


def _held(part: Plan, rules: Sequence[Rule]) -> Iterator[Held]:
    """Rules that hold cells of a benchmark, in the order of the suite; a tuning is not compared."""
    if part.trials[0].benchmark.endswith(TUNING):
        return
    cells = {(t.benchmark, t.cell): part.labels.of_cell(t) for t in part.trials if not t.control}
    known = kind_of(part.trials[0].cell.kind).named
    for index, rule in enumerate(rules):
        held = [label for (b, cell), label in cells.items() if governing(rules, rule.metric, b, cell) is rule]
        if held and rule.metric in known:
            yield Held(index, name_of(rule), rule.tolerance, tuple(held))


def _then(tune: Tune) -> str:
    further = len(tune.seeds) - 1
    parts = [
        f"up to {tune.extend} rates beyond an edge while the best lies there" if tune.extend else "",
        f"{further} more seed{'s' * (further > 1)} for the best rate and those within a factor of {MOST_APART:g} of it"
        if further
        else "",
    ]
    return "; ".join(filter(None, parts))


def _further(benchmark: Benchmark) -> str:
    """Of a kind whose launches go on until it is settled."""
    kind = kind_of(benchmark.kind)
    rules = kind.protocol(**benchmark.protocol).rules if kind.decides else None
    if not rules or rules.most <= rules.pilot:
        return ""
    return f"further launches of what is not settled, {rules.most} in all, while {rules.budget_s:g} s a comparison last"


def _joined(count: int) -> str:
    """Of trainings whose rates are not known yet."""
    return f"{count} fewer trainings at most, as one serves both where a tuned rate is the shared one" if count else ""


def _fields(cell: Cell) -> dict[str, Scalar]:
    return {"activation": cell.activation, "backend": cell.backend, "dtype": cell.dtype, **dict(cell.axes)}


def _varied(rows: Sequence[dict[str, Scalar]]) -> list[Varied]:
    """Axes whose values all meet all others stand alone, the rest together."""
    names = [n for n in dict.fromkeys(n for row in rows for n in row) if len({row.get(n) for row in rows}) > 1]
    columns = {name: [row.get(name, "") for row in rows] for name in names}

    def seen(some: Sequence[str]) -> tuple[tuple[Scalar, ...], ...]:
        return tuple(dict.fromkeys(zip(*(columns[n] for n in some), strict=True))) if some else ((),)

    every = len(seen(names))
    alone = [n for n in names if len(seen([n])) * len(seen([o for o in names if o != n])) == every]
    together = tuple(n for n in names if n not in alone)
    found = [Varied((n,), seen([n])) for n in alone]
    if together:
        found.append(Varied(together, seen(together)))
    return sorted(found, key=lambda v: names.index(v.axes[0]))
