"""A name with options, as suites write it: parsed, and held against what is registered without importing it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter
from pydantic import ValidationError as PydanticError

from polybench.declarations import NAME
from polybench.errors import RegistryError, did_you_mean, in_short
from polybench.registry import Extension, Registry, activations

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

Scalar = str | int | float | bool

_SPEC = re.compile(rf"({NAME})\s*(?:\((.*)\))?", re.DOTALL)
_INT = re.compile(r"^[-+]?\d+$", re.ASCII)
_FLOAT = re.compile(r"^[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?$", re.ASCII)
_LONGEST_INT = 18  # digits


@dataclass(frozen=True)
class Spec:
    """A registered name and the options that differ from its defaults, in alphabetical order."""

    name: str
    options: tuple[tuple[str, Scalar], ...] = ()

    @classmethod
    def of(cls, name: str, options: Mapping[str, Scalar] | None = None) -> Spec:
        return cls(name, tuple(sorted((options or {}).items())))

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read `name` or `name(option=value, ...)`.

        Raises:
            ValueError: the text has another shape.
        """
        match = _SPEC.fullmatch(text.strip())
        if not match:
            raise ValueError(f"{in_short(text)} is not a name or name(option=value, ...)")
        options: dict[str, Scalar] = {}
        for part in filter(None, (p.strip() for p in (match[2] or "").split(","))):
            key, equals, value = (p.strip() for p in part.partition("="))
            if not equals or not key.isidentifier() or not value:
                raise ValueError(f"{in_short(part)} in {in_short(text)} is not option=value")
            if key in options:
                raise ValueError(f"option {in_short(key)} stands twice in {in_short(text)}")
            options[key] = scalar(value)
        return cls.of(match[1], options)

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}({', '.join(f'{k}={_plain(v)}' for k, v in self.options)})"


def scalar(text: str) -> Scalar:
    """A scalar by the core rules of YAML 1.2: true and false, whole numbers, decimals, else text.

    A number that no machine word holds stays text, so that it is refused where a number is wanted.
    """
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INT.match(text):
        return int(text) if len(text.lstrip("+-")) <= _LONGEST_INT else text
    if _FLOAT.match(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _plain(value: Scalar) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


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
            raise RegistryError(f"{registry.noun} {spec.name!r} has no option {in_short(key)}, {near}")
        checked = _check(entry, key, value)
        if checked != entry.options[key][1]:
            kept[key] = checked
    return Spec.of(spec.name, kept)


def _check(entry: Extension, key: str, value: Any) -> Any:
    annotation = entry.options[key][0]
    adapter = _adapter(annotation)
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except PydanticError as problem:
        what = problem.errors()[0]["msg"]
        raise RegistryError(
            f"option {key!r} of {entry.name!r}: {in_short(value)} will not do: {what.lower()}"
        ) from None


@lru_cache
def _adapter(annotation: str) -> TypeAdapter[Any] | None:
    try:
        meaning = eval(annotation, {"__builtins__": {}}, dict(_NAMES))  # names above only
    except Exception:
        return None
    return TypeAdapter(
        meaning, config=None if annotation.startswith("Literal") else ConfigDict(strict=False, allow_inf_nan=False)
    )
