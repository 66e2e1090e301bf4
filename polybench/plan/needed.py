"""What of a suite some claims need: their activations, and the benchmarks that measure their metrics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from polybench.errors import NothingMeasured
from polybench.kind import Kind, kind_of
from polybench.plan.matrix import RESERVED
from polybench.plan.suite import Benchmark, Claim, Suite
from polybench.spec import Scalar

ENDING = "-judge"  # of the name of such a suite, so that its runs are not taken for those of the whole one
_MOST_LAUNCHES = 1000  # while there is time
_NARROWEST = 1e-9  # a half-width that no interval reaches, so that nothing ends before its ratio lies at the margin
Served = tuple[Benchmark, list[Claim]]  # a benchmark, and the claims that are about what it measures


def needed(suite: Suite, claims: Sequence[Claim], budget_s: float | None = None) -> Suite:
    """The suite with what the claims are about and nothing else.

    What is timed is timed until the claims on it are settled, as far as the launches and seconds of the suite go, or
    for `budget_s` seconds in all, half of them where there are seeds too. A claim on what follows from several
    measurements, such as a loss at equal time, keeps the suite's reference and the benchmarks that time steps; one on
    what is read off several sizes keeps them all.

    Raises:
        NothingMeasured: no benchmark measures any of it.
    """
    pairs = [pair for claim in claims for pair in claim.pairs(suite.reference)]
    named = dict.fromkeys(name for pair in pairs for name in pair)
    derived = any(_derived(kind_of(b.kind), claim) for b in suite.benchmarks for claim in claims)
    often = Counter(other for _, other in pairs).most_common(1)[0][0]
    reference = suite.reference if derived or suite.reference in named else often
    served = [(b, [c for c in claims if _serves(suite, b, c)]) for b in suite.benchmarks]
    kept = [(b, own) for b, own in served if own or (derived and _times_steps(b))]
    if not any(own for _, own in kept):
        raise NothingMeasured(f"no benchmark of {suite.suite} measures what is claimed of both activations")
    seeded = any(kind_of(b.kind).repeats == "seeds" for b, _ in kept)
    places = sum(_places(b) for b, _ in kept) * (2 if seeded else 1) or 1
    activations = [n for n in dict.fromkeys([*suite.activations, *named]) if n in named or n == reference]
    benchmarks = [_reduced(suite, one, activations, reference, budget_s and budget_s / places) for one in kept]
    name = suite.suite if suite.suite.endswith(ENDING) else suite.suite + ENDING
    changes: dict[str, Any] = {"suite": name, "activations": activations, "reference": reference, "gate": []}
    return suite.model_copy(update={**changes, "benchmarks": benchmarks, "claims": list(claims)})


def _derived(kind: Kind, claim: Claim) -> bool:
    return any(metric.name == claim.metric for metric in kind.derived)


def _serves(suite: Suite, benchmark: Benchmark, claim: Claim) -> bool:
    """Whether it measures the metric, where the claim looks, of activations of which it has both, or the suite not."""
    where = {key: _values(claim, key) for key in ("benchmark", "kind") if key in claim.where}
    told = {"benchmark": benchmark.name, "kind": benchmark.kind}
    if claim.metric not in kind_of(benchmark.kind).named or any(told[key] not in where[key] for key in where):
        return False
    mine = {*suite.activations_of(benchmark)}
    pairs = claim.pairs(suite.reference)
    return any(all(name in mine or name not in suite.activations for name in pair) for pair in pairs)


def _times_steps(benchmark: Benchmark) -> bool:
    """Whether steps of a training are timed in turns, which gives losses at equal time their clock."""
    levels = benchmark.matrix.get("level")
    return bool(kind_of(benchmark.kind).decides) and "decoder" in (levels if isinstance(levels, list) else [levels])


def _places(benchmark: Benchmark) -> int:
    """How many places are timed until they are settled, each with a budget of its own."""
    if not kind_of(benchmark.kind).decides:
        return 0
    lists = (v for k, v in benchmark.matrix.items() if k not in RESERVED and isinstance(v, list))
    return math.prod(map(len, lists)) * len(benchmark.dtypes)


def _reduced(
    suite: Suite, served: Served, activations: Sequence[str], reference: str, budget_s: float | None
) -> Benchmark:
    """A benchmark with what its claims need; its seeds are its own, so that more come to it alone."""
    benchmark, claims = served
    kind = kind_of(benchmark.kind)
    named = {reference, *(name for claim in claims for pair in claim.pairs(suite.reference) for name in pair)}
    mine = [name for name in activations if name in named]
    some = bool(claims) and len(mine) < len(activations)
    changes: dict[str, Any] = {"activations": mine if some else None, "seeds": suite.seeds_of(benchmark)}
    for key, values in (("backend", benchmark.backends), ("dtype", benchmark.dtypes)):
        changes[f"{key}s"] = _narrowed(values, key, claims, kind)
    if not any(key in benchmark.matrix for key in RESERVED):
        changes["matrix"] = {
            axis: _narrowed(values, axis, claims, kind) if isinstance(values, list) else values
            for axis, values in benchmark.matrix.items()
        }
    if kind.decides:
        changes["protocol"] = {**benchmark.protocol, **_timed(suite, served, kind, reference, budget_s)}
    return benchmark.model_copy(update=changes)


def _narrowed(values: list[Any], key: str, claims: Iterable[Claim], kind: Kind) -> list[Any]:
    """Of the values of an axis those that any of the claims looks at, all if one does not say or needs all."""
    wanted: list[Scalar] = []
    for claim in claims:
        if key not in claim.where or key in kind.named[claim.metric].over:
            return values
        wanted += _values(claim, key)
    return [value for value in values if value in wanted] or values


def _values(claim: Claim, key: str) -> list[Scalar]:
    value = claim.where[key]
    return value if isinstance(value, list) else [value]


def _timed(suite: Suite, served: Served, kind: Kind, reference: str, budget_s: float | None) -> dict[str, Scalar]:
    """How far launches go: by the least margin that is claimed, and to no early end where that would settle nothing.

    They end early by the metric that decides, beside the reference and by one margin: other claims need all of them.
    """
    benchmark, claims = served
    usual = float(benchmark.protocol.get("margin", suite.margin))
    margins = {usual if claim.by is None else claim.by for claim in claims}
    beside = all(reference in pair for claim in claims for pair in claim.pairs(suite.reference))
    same = beside and len(margins) == 1 and {c.metric for c in claims} == {kind.decides}
    changes: dict[str, Scalar] = {"margin": min(margins)} if margins else {}
    if budget_s is not None:
        changes |= {"launches": _MOST_LAUNCHES, "budget_s": budget_s}
        changes |= {} if same else {"half_width": _NARROWEST}
    return {name: value for name, value in changes.items() if name in kind.protocol.model_fields}
