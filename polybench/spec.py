"""A name with options, as people write it: `polynorm`, `polynorm(norm=l2, order=2)`, `text:notes/*.txt`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

Scalar = str | int | float | bool

_SPEC = re.compile(r"^\s*([A-Za-z][\w.-]*)\s*(?:\((.*)\))?\s*$", re.DOTALL)
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
        match = _SPEC.match(text)
        if not match:
            raise ValueError(f"{text!r} is not a name or name(option=value, ...)")
        options: dict[str, Scalar] = {}
        for part in filter(None, (p.strip() for p in (match[2] or "").split(","))):
            key, equals, value = (p.strip() for p in part.partition("="))
            if not equals or not key.isidentifier() or not value:
                raise ValueError(f"{part!r} in {text!r} is not option=value")
            if key in options:
                raise ValueError(f"option {key!r} stands twice in {text!r}")
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
