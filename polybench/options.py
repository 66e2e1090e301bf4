"""Options of an activation: checked against its constructor's signature without importing it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter
from pydantic import ValidationError as PydanticError

from polybench.errors import RegistryError, did_you_mean
from polybench.registry import Entry, Registry, activations
from polybench.spec import Spec

# What an annotation of an option may be made of; anything else is taken as it comes.
_NAMES: dict[str, Any] = {
    "Literal": Literal,
    "PositiveInt": PositiveInt,
    "PositiveFloat": PositiveFloat,
    "NonNegativeInt": NonNegativeInt,
    "NonNegativeFloat": NonNegativeFloat,
    "int": int,
    "float": float,
    "bool": bool,
    "str": str,
}


def canonical(text: str, registry: Registry = activations) -> Spec:
    """The name and those options that differ from the defaults, so that one thing has one name.

    Raises:
        RegistryError: unknown name, unknown option, or an option of the wrong kind.
    """
    try:
        spec = Spec.parse(text)
    except ValueError as problem:
        raise RegistryError(str(problem)) from None
    entry = registry.entry(spec.name)
    kept = {}
    for key, value in spec.options:
        if key not in entry.options:
            known = f"it has {', '.join(sorted(entry.options))}" if entry.options else "it has none"
            near = did_you_mean(key, entry.options) if entry.options else known
            raise RegistryError(f"{registry.noun} {spec.name!r} has no option {key!r}, {near}")
        checked = _check(entry, key, value)
        if checked != entry.options[key][1]:
            kept[key] = checked
    return Spec.of(spec.name, kept)


def _check(entry: Entry, key: str, value: Any) -> Any:
    annotation = entry.options[key][0]
    adapter = _adapter(annotation)
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except PydanticError as problem:
        what = problem.errors()[0]["msg"]
        raise RegistryError(f"option {key!r} of {entry.name!r}: {value!r} will not do: {what.lower()}") from None


@lru_cache
def _adapter(annotation: str) -> TypeAdapter[Any] | None:
    try:
        meaning = eval(annotation, {"__builtins__": {}}, dict(_NAMES))  # names above only
    except Exception:
        return None
    return TypeAdapter(meaning, config=None if annotation.startswith("Literal") else ConfigDict(strict=False))
