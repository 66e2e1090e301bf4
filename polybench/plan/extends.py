"""Where a suite's values come from: the file, the files it extends, and the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from polybench.errors import A_LINE, SuiteError, UsageError, cut, did_you_mean, in_short
from polybench.plan.located import Located, Mark, Route, dotted, read
from polybench.plan.suite import Suite
from polybench.spec import scalar

_LISTS_BY_NAME = "benchmarks"  # its items are addressed and merged by their `name`


def extended(path: Path, overrides: Iterable[str] = ()) -> Located:
    """The suite after `extends` and `-s key=value`, each value marked with its origin.

    Raises:
        SuiteError: a file cannot be read, or the files extend each other in a circle.
        UsageError: an override is not key=value, or names a benchmark that is not there.
    """
    located = _extended(path, ())
    for text in overrides:
        _override(located, text)
    return located


def _extended(path: Path, children: tuple[Path, ...]) -> Located:
    child = read(path)
    if not isinstance(child.data, dict) or "extends" not in child.data:
        return child
    mark = child.mark(("extends",))
    wanted = child.data["extends"]
    if not isinstance(wanted, str):
        child.problems.append(mark.problem(("extends",), f"one file name is wanted here, not {in_short(wanted)}"))
        child.data.pop("extends")
        return child
    child.data.pop("extends")
    parent_path = path.parent / wanted
    chain = (*children, path)
    if not os.path.isfile(parent_path):  # Path.is_file raises when a name is too long
        near = did_you_mean(wanted, (p.name for p in path.parent.glob("*.y*ml")))
        message = f"there is no file {in_short(wanted)} beside this one, {near}"
        raise SuiteError([*child.problems, mark.problem(("extends",), message)])
    if parent_path.resolve() in [p.resolve() for p in chain]:
        circle = " -> ".join(p.name for p in (*chain, parent_path))
        raise SuiteError([*child.problems, mark.problem(("extends",), f"these files extend each other: {circle}")])
    parent = _extended(parent_path, chain)
    parent.problems.extend(child.problems)
    if not isinstance(parent.data, dict):
        raise SuiteError([*parent.problems, parent.mark(()).problem((), "a suite is a mapping of keys to values")])
    _merge(parent, child, (), parent.data, child.data)
    parent.values[()] = child.mark(())
    return parent


def _merge(parent: Located, child: Located, route: Route, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Dictionaries merge, everything else replaces."""
    for key, value in new.items():
        here = (*route, key)
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            parent.keys[here] = child.keys[here]
            _merge(parent, child, here, old[key], value)
            continue
        parent.drop(here)
        old[key] = value
        for marks, theirs in ((parent.keys, child.keys), (parent.values, child.values)):
            marks.update({r: m for r, m in theirs.items() if r[: len(here)] == here})


def _override(located: Located, text: str) -> None:
    key, equals, value = text.partition("=")
    said = f"-s {cut(text, A_LINE)}"
    if not equals or not key.strip():
        raise UsageError(f"{said}: write it as key=value, for example -s seeds=[0,1] or -s speed.protocol.blocks=20")
    mark = Mark(said)
    data = located.data
    route: Route = ()
    if not isinstance(data, dict):
        return
    key = key.strip()
    if key == "extends":
        raise UsageError(f"{said}: extends stands in the file, so it cannot be changed here")
    index, key = _addressed(key, _items(data), said)
    if index is not None:
        data, route = _items(data)[index], (_LISTS_BY_NAME, index)
    *within, last = key.split(".")
    for part in within:
        step = _step(data, part, route, said)
        route = (*route, step)
        located.keys.setdefault(route, mark)
        located.values.setdefault(route, mark)
        if isinstance(data, dict) and data.get(part) is None:
            data[part] = {}
        data = data[step]
    step = _step(data, last, route, said)
    route = (*route, step)
    located.drop(route)
    data[step] = _parsed(value.strip(), said)
    located.keys[route] = located.values[route] = mark


def _step(data: Any, part: str, route: Route, said: str) -> str | int:
    """A key of a mapping, or a place of a list, counted from 0."""
    if isinstance(data, dict):
        return part
    if isinstance(data, list) and part.isdecimal() and int(part) < len(data):
        return int(part)
    where = dotted(route)
    if isinstance(data, list) and data:
        raise UsageError(f"{said}: {where} is a list of {len(data)}, the first of which is {where}.0")
    raise UsageError(f"{said}: there is no {in_short(part)} in {where}, so say the whole of it")


def _addressed(key: str, items: list[Any], said: str) -> tuple[int | None, str]:
    """The place of the benchmark that a key begins with, if it does, and what is left of the key.

    Its name, which may have dots, is enough; `benchmarks.` may stand before it, and then it may be a number too.
    """
    named = {b["name"]: i for i, b in enumerate(items) if isinstance(b, dict) and isinstance(b.get("name"), str)}
    within = key.removeprefix(f"{_LISTS_BY_NAME}.")
    if within == key and key in Suite.model_fields:
        return None, key
    known = {**{str(i): i for i, b in enumerate(items) if isinstance(b, dict) and within != key}, **named}
    name = max((n for n in known if f"{within}.".startswith(f"{n}.")), key=len, default=None)
    first, dot, _ = within.partition(".")
    if name is None:
        if within == key and (not dot or first in Suite.model_fields):
            return None, key
        raise UsageError(f"{said}: there is no benchmark {in_short(first)}, {did_you_mean(first, named)}")
    if within == name:
        such = f"{cut(name)}.dtypes=[bfloat16]"
        raise UsageError(f"{said}: say which key of the benchmark {in_short(name)}, such as {such}")
    return known[name], within.removeprefix(f"{name}.")


def _items(data: dict[str, Any]) -> list[Any]:
    items = data.get(_LISTS_BY_NAME)
    return items if isinstance(items, list) else []


def _parsed(value: str, said: str) -> Any:
    """A scalar, or a list in brackets with scalars between commas that stand outside of parentheses."""
    if not value.startswith("["):
        return scalar(value)
    if not value.endswith("]"):
        raise UsageError(f"{said}: the list has no closing bracket")
    parts, depth, start = [], 0, 1
    for at, char in enumerate(value):
        depth += (char == "(") - (char == ")")
        if (char == "," and depth == 0) or at == len(value) - 1:
            parts.append(value[start:at].strip())
            start = at + 1
    return [scalar(p) for p in parts if p]
