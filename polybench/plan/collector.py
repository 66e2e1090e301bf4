"""Collects what is wrong with a suite: values against models, and names against what is registered."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from polybench.errors import Problem, RegistryError
from polybench.options import canonical
from polybench.plan.explain import in_words
from polybench.plan.located import Located, Route


class Collector:
    """Problems of a located suite, in the order in which they are found."""

    def __init__(self, located: Located):
        self.located = located
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
        for index, value in enumerate(values if isinstance(values, list) else []):
            if values.index(value) != index:
                self.add((*route, index), f"{value!r} stands in this list twice")

    def activation(self, text: str, route: Route) -> str:
        """The activation's one name, empty after saying why it has none."""
        try:
            return str(canonical(text))
        except RegistryError as problem:
            self.add(route, str(problem))
            return ""

    def activations(self, texts: Any, route: Route) -> list[str]:
        """The one names of a list of activations, as far as they are known."""
        found: list[str] = []
        for index, text in enumerate(texts if isinstance(texts, list) else []):
            if isinstance(text, str):
                name = self.activation(text, (*route, index))
                if name in found:
                    self.add((*route, index), f"{text!r} stands in this list twice")
                found += [name] if name else []
        return found
