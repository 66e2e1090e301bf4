"""What is wrong with a suite, each mistake at its place and in our words."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from polybench.errors import Problem, RegistryError, cut, did_you_mean, in_short
from polybench.kind import Kind, kind_of
from polybench.plan.located import Located, Route
from polybench.plan.suite import Benchmark, Claim, Rule, Suite
from polybench.spec import canonical

_OF_KEYS = ("benchmarks", "claims", "gate")  # lists whose every value is keys with values of their own
_MANY = 12  # seeds: so many are written out in a sentence


class Collector:
    """Problems of a located suite, in the order in which they are found.

    `unsure` has "activations" or "kinds" once one that the suite lists is unknown: what seems to lack it then is not
    blamed as well.
    """

    def __init__(self, located: Located):
        self.located = located
        self.unsure: set[str] = set()
        self.problems: list[Problem] = list(located.problems)

    def add(self, route: Route, message: str, at_key: bool = False) -> None:
        self.problems.append(self.located.mark(route, at_key).problem(route, message))

    def model(self, model: type[BaseModel], data: Any, route: Route = ()) -> Any:
        """The data as that model, or None after saying why not."""
        try:
            return model.model_validate(data)
        except ValidationError as failure:
            self.problems += in_words(failure, model, self.located, route)
            return None

    def twice(self, values: Any, route: Route) -> None:
        """Blame what stands in a list twice."""
        if isinstance(values, list):
            for index in repeated(values):
                self.add((*route, index), f"{in_short(values[index])} stands in this list twice")

    def activation(self, text: str, route: Route) -> str:
        """The activation's one name, empty after saying why it has none."""
        try:
            return str(canonical(text))
        except RegistryError as problem:
            self.add(route, str(problem))
            return ""

    def activations(self, texts: Any, route: Route) -> list[str]:
        """The one names of a list of activations, as far as they are known."""
        names: list[str] = []
        for index, text in enumerate(texts if isinstance(texts, list) else []):
            if isinstance(text, str):
                name = self.activation(text, (*route, index))
                if name in names:
                    self.add((*route, index), f"{in_short(text)} stands in this list twice")
                names += [name] if name else []
                self.unsure |= set() if name else {"activations"}
        return names


def in_words(failure: ValidationError, model: type[BaseModel], located: Located, route: Route) -> list[Problem]:
    """A problem for each error of validating what stands at `route` against `model`."""
    return [_problem(dict(error), model, located, route) for error in failure.errors()]


def _problem(error: dict[str, Any], model: type[BaseModel], located: Located, route: Route) -> Problem:
    kind, value = error["type"], error.get("input")
    loc = existing((*route, *error["loc"]), located.data, keep_last=kind == "missing")
    if kind == "extra_forbidden":
        owner = _owner(model, error["loc"])
        known = [*owner.model_fields, *(["extends"] if owner is Suite else [])]
        near = _elsewhere(loc, located.data) or did_you_mean(loc[-1], known)
        return located.mark(loc, at_key=True).problem(loc, f"unknown key, {near}")
    if kind == "missing":
        return located.mark(loc[:-1]).problem(loc[:-1], f"the key {loc[-1]!r} is missing")
    if kind == "too_short":
        message = f"this list needs {error['ctx']['min_length']} values at least" if value else "this list is empty"
    elif kind == "literal_error":
        known_words = str(error["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        message = f"{in_short(value)} is unknown, {did_you_mean(value, known_words)}"
    elif kind == "list_type" and not isinstance(value, dict) and loc[-1] not in _OF_KEYS:
        message = _no_list(value, loc[-1])
    elif kind in ("list_type", "dict_type", "model_type"):
        wanted = "a list, lines that begin with -" if kind == "list_type" else "keys and values, such as {key: value}"
        shown = "this" if isinstance(value, dict) or value is None else in_short(value)
        message = f"{shown} should be {wanted}"
    else:
        text = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        wrong = text.startswith("should")
        shown = in_short(value) if not isinstance(value, dict) else "this" if wrong else ""
        message = f"{shown}{':' if shown and not wrong else ''} {text}".lstrip()
    return located.mark(loc).problem(loc, message)


def _no_list(value: Any, key: str | int) -> str:
    """What is wrong with a value where a list is meant, and how the list is written."""
    if value is None:
        return "nothing is written here; write a list, or leave the key out"
    if key == "seeds" and isinstance(value, int) and 1 < value <= _MANY:
        return f"{value} should be a list: {[*range(value)]} for {value} seeds, [{value}] for this one alone"
    return f"{in_short(value)} should be a list: [{cut(str(value))}]"


def _elsewhere(loc: Route, data: Any) -> str:
    """Where an unknown key of a benchmark belongs, if anywhere."""
    if loc[0] != "benchmarks":
        return ""
    try:
        return belongs(kind_of(str(data["benchmarks"][loc[1]]["kind"])), str(loc[-1]))
    except (RegistryError, LookupError, TypeError):
        return ""  # said of the kind


def belongs(kind: Kind, key: str) -> str:
    """The end of a sentence on a key that is an axis or part of the protocol, and stands elsewhere; else nothing."""
    parts = {"matrix": kind.axes, "protocol": kind.protocol}
    named = (name for name, model in parts.items() if key in model.model_fields and key not in kind.unused)
    return next((f"it belongs into {name}:" for name in named), "")


def unused(kind: Kind, key: str) -> str:
    return f"{kind.name} makes no use of {key}, so leave it away"


def repeated(values: Iterable[Any]) -> Iterator[int]:
    """Where a list has what stands in it before."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        key = value if isinstance(value, Hashable) else (type(value), repr(value))
        if key in seen:
            yield index
        seen.add(key)


def existing(loc: Route, data: Any, keep_last: bool) -> Route:
    """The route without the parts that only name a branch of a union, which are nowhere in the data."""
    kept: list[str | int] = []
    for i, part in enumerate(loc):
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            if not (keep_last and i == len(loc) - 1):
                continue
        kept.append(part)
    return tuple(kept)


def _owner(model: type[BaseModel], loc: tuple[Any, ...]) -> type[BaseModel]:
    """The model whose key an error is about."""
    parts: dict[str, type[BaseModel]] = {"benchmarks": Benchmark, "claims": Claim, "gate": Rule}
    return parts.get(str(loc[0]), model) if len(loc) > 1 else model
