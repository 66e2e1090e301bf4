"""pydantic's errors in our words, each at the place it is about."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from polybench.errors import Problem, did_you_mean
from polybench.plan.located import Located, Route
from polybench.plan.suite import Benchmark, Claim, Rule, Suite


def in_words(failure: ValidationError, model: type[BaseModel], located: Located, route: Route) -> list[Problem]:
    """A problem for each error of validating what stands at `route` against `model`."""
    return [_problem(dict(error), model, located, route) for error in failure.errors()]


def _problem(error: dict[str, Any], model: type[BaseModel], located: Located, route: Route) -> Problem:
    kind, value = error["type"], error.get("input")
    loc = _existing((*route, *error["loc"]), located.data, keep_last=kind == "missing")
    if kind == "extra_forbidden":
        owner = _owner(model, error["loc"])
        known = [*owner.model_fields, *(["extends"] if owner is Suite else [])]
        return located.mark(loc, at_key=True).problem(loc, f"unknown key, {did_you_mean(loc[-1], known)}")
    if kind == "missing":
        return located.mark(loc[:-1]).problem(loc[:-1], f"the key {loc[-1]!r} is missing")
    if kind == "too_short":
        message = "this list is empty"
    elif kind == "literal_error":
        known_words = str(error["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        message = f"{_shown(value)} is unknown, {did_you_mean(value, known_words)}"
    else:
        text = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
        wrong = text.startswith("should")
        shown = _shown(value) if not isinstance(value, dict) else "this" if wrong else ""
        message = f"{shown}{':' if shown and not wrong else ''} {text}".lstrip()
    return located.mark(loc).problem(loc, message)


def _existing(loc: Route, data: Any, keep_last: bool) -> Route:
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


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
