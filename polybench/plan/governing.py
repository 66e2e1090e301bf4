"""Which gate rule holds which cell: of those that name its metric and match it, the last.

So a rule for all cells may stand first, and after it those for some of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from polybench.kind import Kind, axes_of, kind_of
from polybench.plan.matrix import combinations
from polybench.plan.suite import Rule, Suite
from polybench.trial import Cell


def matches(benchmark: str, cell: Cell, where: Mapping[str, Any]) -> bool:
    """Whether a cell has the wanted values; each is one value or a list of them."""
    return _matches(_known(benchmark, cell), where)


def governing(rules: Sequence[Rule], metric: str, benchmark: str, cell: Cell) -> Rule | None:
    """The rule that a metric of a cell is held to; None where it is not gated."""
    held = (rule for rule in reversed(rules) if rule.metric == metric and matches(benchmark, cell, rule.where))
    return next(held, None)


def name_of(rule: Rule) -> str:
    where = ", ".join(f"{k}={v}" for k, v in rule.where.items())
    return f"{rule.metric} where {where}" if where else rule.metric


def allowed(rule: Rule, value: float | None) -> float:
    """How much worse than this value something may get, as a share: of times by the rule's floor if that is more."""
    return max(rule.tolerance, rule.floor / value) if rule.floor and value else rule.tolerance


def idle(suite: Suite) -> dict[int, int | None]:
    """Rules that hold no cell of a sound suite, by their place, each with the later rule that takes its cells.

    None stands for a rule that no cell matches. A rule for a device, which is not known before it is measured,
    takes cells of no other.
    """
    held = dict.fromkeys(range(len(suite.gate)), False)
    taken: dict[int, int] = {}
    by_metric: dict[str, list[int]] = defaultdict(list)
    for index, rule in enumerate(suite.gate):
        by_metric[rule.metric].insert(0, index)
    for known, kind in _cells(suite) if suite.gate else ():
        for metric in by_metric.keys() & kind.named.keys():
            holder: int | None = None
            for index in by_metric[metric]:
                where = suite.gate[index].where
                if not _matches(known, {k: v for k, v in where.items() if k != "device"}):
                    continue
                if holder is not None:
                    taken[index] = holder
                    continue
                held[index] = True
                holder = None if "device" in where else index
    return {index: taken.get(index) for index, used in held.items() if not used}


def _cells(suite: Suite) -> Iterator[tuple[dict[str, Any], Kind]]:
    """What `where` is held against, for every cell that the suite can have, and the kind that measures it."""
    for one in suite.benchmarks:
        kind = kind_of(one.kind)
        for values in combinations(one.matrix, kind):
            axes = axes_of(kind, values)
            for activation, backend, dtype in product(suite.activations_of(one), one.backends, one.dtypes):
                yield _known(one.name, Cell(kind.name, kind.version, activation, backend, "", dtype, axes)), kind


def _known(benchmark: str, cell: Cell) -> dict[str, Any]:
    return {**dict(cell.axes), "benchmark": benchmark, "kind": cell.kind, "activation": cell.activation,
            "backend": cell.backend, "device": cell.device, "dtype": cell.dtype}  # fmt: skip


def _matches(known: Mapping[str, Any], where: Mapping[str, Any]) -> bool:
    return all(known.get(k) in (v if isinstance(v, list) else [v]) for k, v in where.items())
