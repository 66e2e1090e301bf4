"""A suite where not all of its activations are: planned without those that are not known here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polybench.errors import RegistryError, SuiteError
from polybench.plan.check import checked, load_suite
from polybench.plan.extends import extended
from polybench.plan.suite import Suite
from polybench.spec import canonical


def load_known(path: Path, overrides: Iterable[str] = (), device: str | None = None) -> tuple[Suite, dict[str, str]]:
    """The suite without activations that are unknown or broken here, and why each of them is.

    Where the reference is one of them, another that all benchmarks have stands in for it.

    Raises:
        SuiteError: there are other mistakes, or nothing is left.
        UsageError: an override that makes no sense.
    """
    given = [*overrides, *([f"device={device}"] if device else [])]
    try:
        return load_suite(path, given).suite, {}
    except SuiteError as problem:
        located = extended(path, given)
        lacks = _without_unknown(located.data) if isinstance(located.data, dict) else {}
        if not lacks:
            raise
        try:
            return checked(located).suite, lacks
        except SuiteError:
            raise problem from None  # its places are those of the file


def _without_unknown(data: dict[str, Any]) -> dict[str, str]:
    """Take out of a suite's data what names an unknown activation; why each is unknown."""
    lacks: dict[str, str] = {}

    def known(name: Any) -> bool:
        try:
            canonical(str(name))
        except RegistryError as problem:
            lacks[str(name)] = str(problem)
            return False
        return True

    def kept(part: dict[str, Any]) -> bool:
        """Whether anything is left of what it lists."""
        if isinstance(part.get("activations"), list):
            part["activations"] = [name for name in part["activations"] if known(name)]
            return bool(part["activations"])
        return True

    def asked(rule: Any) -> bool:
        where = rule.get("where") if isinstance(rule, dict) else None
        if not isinstance(where, dict) or "activation" not in where:
            return True
        named = where["activation"]
        left = [name for name in (named if isinstance(named, list) else [named]) if known(name)]
        if left:
            where["activation"] = left if isinstance(named, list) else left[0]
        return bool(left)

    kept(data)
    parts = [b for b in _list(data, "benchmarks") if isinstance(b, dict)]
    data["benchmarks"] = [b for b in parts if kept(b)]
    data["gate"] = [rule for rule in _list(data, "gate") if asked(rule)]
    data.pop("claims", None)
    if not known(data.get("reference")):
        everywhere = [
            data.get("activations", []),
            *(b["activations"] for b in data["benchmarks"] if "activations" in b),
        ]
        shared = [name for name in everywhere[0] if all(name in names for names in everywhere)]
        data["reference"] = next(iter(shared), data["reference"])
    return lacks


def _list(data: dict[str, Any], key: str) -> list[Any]:
    found = data.get(key)
    return found if isinstance(found, list) else []
