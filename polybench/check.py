"""From a file to a Suite: every mistake at once, each with its place and the nearest right name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from polybench.derive import DERIVED
from polybench.errors import Problem, RegistryError, SuiteError, did_you_mean
from polybench.explain import in_words
from polybench.kind import Kind, axes_of, kind_of
from polybench.layers import layered
from polybench.located import Located, Mark, Route
from polybench.matrix import combinations
from polybench.matrix_check import matrix_problems
from polybench.options import canonical
from polybench.registry import backends
from polybench.suite import DTYPES, Benchmark, Claim, Rule, Suite

CELL_FIELDS = ("benchmark", "kind", "activation", "backend", "device", "dtype")


@dataclass(frozen=True)
class Resolved:
    """A suite that can run, and where each of its values came from."""

    suite: Suite
    origins: dict[Route, Mark]

    def to_json(self) -> dict[str, Any]:
        return self.suite.model_dump(mode="json")


def load_suite(path: Path, overrides: Iterable[str] = (), device: str | None = None) -> Resolved:
    """Read, layer and check a suite.

    Raises:
        SuiteError: with every mistake found.
        UsageError: an override that makes no sense.
    """
    located = layered(path, [*overrides, *([f"device={device}"] if device else [])])
    check = _Check(located)
    suite = check.whole()
    if check.problems or suite is None:
        raise SuiteError(check.problems)
    return Resolved(suite, dict(located.values))


class _Check:
    """Collects problems; one method a part of the suite."""

    def __init__(self, located: Located):
        self.located = located
        self.problems: list[Problem] = list(located.problems)

    def add(self, route: Route, message: str, at_key: bool = False) -> None:
        self.problems.append(self.located.mark(route, at_key).problem(route, message))

    def whole(self) -> Suite | None:
        data = self.located.data
        if not isinstance(data, dict):
            self.add((), "a suite is a mapping of keys to values; `polybench init` writes one to start from")
            return None
        suite = self._model(Suite, data)
        self._twice(data.get("seeds"), ("seeds",))
        reference = data.get("reference")
        known = self._activations(data.get("activations"), ("activations",))
        if isinstance(reference, str):
            name = self._activation(reference, ("reference",))
            if name and known and name not in known:
                self.add(("reference",), f"{reference!r} is not among the activations, {did_you_mean(name, known)}")
        kinds: list[Kind] = []
        items = data.get("benchmarks")
        for index, item in enumerate(items if isinstance(items, list) else []):
            if isinstance(item, dict):
                kinds += self._benchmark(item, ("benchmarks", index), reference)
        if isinstance(items, list):
            names = [b.get("name") for b in items if isinstance(b, dict) and isinstance(b.get("name"), str)]
            for index, item in enumerate(items):
                if isinstance(item, dict) and names.count(item.get("name")) > 1:
                    self.add(("benchmarks", index, "name"), f"two benchmarks are called {item['name']!r}")
        if kinds:
            self._judgements(data, known, kinds)
        if suite is None or self.problems:
            return None
        return _canonical(suite)

    def _model(self, model: type[BaseModel], data: Any, route: Route = ()) -> Any:
        try:
            return model.model_validate(data)
        except ValidationError as failure:
            self.problems += in_words(failure, model, self.located, route)
            return None

    def _activations(self, texts: Any, route: Route) -> list[str]:
        found: list[str] = []
        for index, text in enumerate(texts if isinstance(texts, list) else []):
            if isinstance(text, str):
                name = self._activation(text, (*route, index))
                if name in found:
                    self.add((*route, index), f"{text!r} stands in this list twice")
                found += [name] if name else []
        return found

    def _twice(self, values: Any, route: Route) -> None:
        for index, value in enumerate(values if isinstance(values, list) else []):
            if values.index(value) != index:
                self.add((*route, index), f"{value!r} stands in this list twice")

    def _activation(self, text: str, route: Route) -> str:
        try:
            return str(canonical(text))
        except RegistryError as problem:
            self.add(route, str(problem))
            return ""

    def _benchmark(self, item: dict[str, Any], route: Route, reference: Any) -> list[Kind]:
        own = self._activations(item.get("activations"), (*route, "activations"))
        if own and isinstance(reference, str):
            try:
                wanted = str(canonical(reference))
                if wanted not in own:
                    self.add((*route, "activations"), f"the reference {wanted!r} is missing from this list")
            except RegistryError:
                pass  # already said at `reference`
        self._twice(item.get("seeds"), (*route, "seeds"))
        for key, known in (("backends", backends.names()), ("dtypes", DTYPES)):
            values = item[key] if isinstance(item.get(key), list) else []
            for index, value in enumerate(values):
                if isinstance(value, str) and value not in known and key == "backends":
                    self.add((*route, key, index), f"unknown backend {value!r}, {did_you_mean(value, known)}")
            self._twice(values, (*route, key))
        name = item.get("kind")
        if not isinstance(name, str):
            return []
        try:
            kind = kind_of(name)
        except RegistryError as problem:
            self.add((*route, "kind"), str(problem))
            return []
        if isinstance(item.get("protocol"), dict):
            self._model(kind.protocol, item["protocol"], (*route, "protocol"))
        if isinstance(item.get("matrix", {}), dict):
            self.problems += matrix_problems(kind, item.get("matrix", {}), self.located, (*route, "matrix"))
        return [kind]

    def _where_activation(self, value: Any, route: Route, known: list[str]) -> None:
        for text in value if isinstance(value, list) else [value]:
            name = self._activation(str(text), route)
            if name and name not in known:
                self.add(route, f"{text!r} is not among the activations, {did_you_mean(name, known)}")

    def _where_name(self, value: Any, route: Route, known: list[Any]) -> None:
        for text in value if isinstance(value, list) else [value]:
            if text not in known:
                near = did_you_mean(text, map(str, known))
                self.add(route, f"no cell of this suite has {route[-1]} {text!r}, {near}")

    def _judgements(self, data: dict[str, Any], activations: list[str], kinds: list[Kind]) -> None:
        metrics = {m.name for k in kinds for m in k.metrics if not m.curve}
        metrics |= {m.name for k in kinds for m in DERIVED if any(n.name == "val_curve" for n in k.metrics)}
        unjudged = {m.name for k in kinds for m in k.metrics if m.better == "neither" and m.varies_with == "sample"}
        axes = {a for k in kinds for a in k.axes.model_fields} | set(CELL_FIELDS)
        planned = None if self.problems else _planned(data)
        for key, model in (("claims", Claim), ("gate", Rule)):
            parts = data.get(key)
            for index, part in enumerate(parts if isinstance(parts, list) else []):
                if not isinstance(part, dict):
                    continue
                route: Route = (key, index)
                metric = part.get("metric")
                if model is Rule and isinstance(metric, str) and metric in unjudged:
                    self.add((*route, "metric"), f"{metric!r} has no good direction, so it cannot be gated")
                if isinstance(metric, str) and metric not in metrics:
                    near = did_you_mean(metric, metrics)
                    self.add((*route, "metric"), f"no benchmark of this suite measures {metric!r}, {near}")
                for field in ("subject", "better_than"):
                    if model is Claim and isinstance(part.get(field), str):
                        name = self._activation(part[field], (*route, field))
                        if name and name not in activations:
                            near = did_you_mean(name, activations)
                            self.add((*route, field), f"{part[field]!r} is not among the activations, {near}")
                for axis in part["where"] if isinstance(part.get("where"), dict) else ():
                    if axis not in axes:
                        self.add((*route, "where", axis), f"no cell has {axis!r}, {did_you_mean(axis, axes)}", True)
                    elif axis == "activation":
                        self._where_activation(part["where"][axis], (*route, "where", axis), activations)
                    elif axis in ("benchmark", "kind", "backend", "dtype"):
                        self._where_name(part["where"][axis], (*route, "where", axis), _named(data, axis))
                    elif planned and axis != "device":
                        self._where_name(part["where"][axis], (*route, "where", axis), planned.get(axis, []))


def _planned(data: dict[str, Any]) -> dict[str, list[Any]]:
    """The values that each axis takes in the cells of a suite whose matrices are sound."""
    found: dict[str, list[Any]] = {}
    for item in data["benchmarks"]:
        kind = kind_of(item["kind"])
        for cell in combinations(item.get("matrix", {}), kind):
            for axis, value in axes_of(kind, cell):
                if value not in found.setdefault(axis, []):
                    found[axis].append(value)
    return found


def _named(data: dict[str, Any], field: str) -> list[str]:
    """The benchmarks, kinds, backends or dtypes that a suite names, or gets by default."""
    found: list[str] = []
    for item in (b for b in data["benchmarks"] if isinstance(b, dict)):
        if field in ("benchmark", "kind"):
            values = [item.get("name" if field == "benchmark" else "kind")]
        else:
            plural = f"{field}s"
            values = item.get(plural) or Benchmark.model_fields[plural].default
        found += [v for v in (values if isinstance(values, list) else []) if isinstance(v, str)]
    return found


def _where(where: dict[str, Any]) -> dict[str, Any]:
    """A filter with its activations under their one name."""
    value = where.get("activation")
    if value is None:
        return where
    named = [str(canonical(str(v))) for v in value] if isinstance(value, list) else str(canonical(str(value)))
    return {**where, "activation": named}


def _canonical(suite: Suite) -> Suite:
    """Every activation under its one name."""

    def names(texts: list[str] | None) -> list[str] | None:
        return None if texts is None else [str(canonical(t)) for t in texts]

    claims = [
        c.model_copy(
            update={
                "subject": str(canonical(c.subject)),
                "better_than": str(canonical(c.better_than or suite.reference)),
                "where": _where(c.where),
            }
        )
        for c in suite.claims
    ]
    return suite.model_copy(
        update={
            "activations": names(suite.activations),
            "reference": str(canonical(suite.reference)),
            "benchmarks": [b.model_copy(update={"activations": names(b.activations)}) for b in suite.benchmarks],
            "claims": claims,
            "gate": [r.model_copy(update={"where": _where(r.where)}) for r in suite.gate],
        }
    )
