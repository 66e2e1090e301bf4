"""A suite after defaults, extends and overrides, each value with its origin."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from polybench.kind import kind_of
from polybench.plan.check import Resolved
from polybench.plan.located import Route, dotted
from polybench.plan.matrix import combinations


def lines(resolved: Resolved) -> list[str]:
    """`path = value  # origin` for every value; origin is a file and line, an override, or default."""
    pairs = [(dotted(route), _shown(value), _origin(resolved, route)) for route, value in _leaves(_whole(resolved), ())]
    width = max(len(f"{p} = {v}") for p, v, _ in pairs)
    return [f"{f'{path} = {value}':<{width}}  # {origin}" for path, value, origin in pairs]


def _whole(resolved: Resolved) -> dict[str, Any]:
    """The suite with the defaults of each kind's protocol and axes filled in."""
    data = resolved.to_json()
    for benchmark in data["benchmarks"]:
        kind = kind_of(benchmark["kind"])
        benchmark["protocol"] = kind.protocol(**benchmark["protocol"]).model_dump()
        cells = combinations(benchmark["matrix"], kind)
        given = {k: v for k, v in benchmark["matrix"].items() if k in ("include", "exclude")}
        filled = {axis: list(dict.fromkeys(c[axis] for c in cells)) for axis in cells[0]}
        benchmark["matrix"] = {**{k: v[0] if len(v) == 1 else v for k, v in filled.items()}, **given}
        for key, fallback in (("activations", data["activations"]), ("seeds", data["seeds"])):
            benchmark[key] = benchmark[key] or fallback
    return data


def _leaves(data: Any, route: Route) -> Iterator[tuple[Route, Any]]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _leaves(value, (*route, key))
    elif isinstance(data, list) and any(isinstance(v, dict) for v in data):
        for index, value in enumerate(data):
            yield from _leaves(value, (*route, index))
    else:
        yield route, data


def _origin(resolved: Resolved, route: Route) -> str:
    mark = resolved.origins.get(route)
    return str(mark) if mark else "default"


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
