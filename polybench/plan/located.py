"""YAML in which every value knows its line: the core rules of 1.2, and nothing surprising.

PyYAML alone reads `1e-3` as text and `on` as true, and takes a duplicate key in silence. Here its
parser gives the nodes and this file gives them their values. Of 1.1 it keeps `<<: *name`, by which a mapping takes
over what it does not say itself.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from polybench.errors import A_LINE, Problem, SuiteError, cut
from polybench.spec import scalar

Route = tuple[str | int, ...]
_MOST_NODES = 100_000  # an alias can stand for many nodes; this stops a file that explodes
_CORE = "tag:yaml.org,2002:"  # how tags begin that are written !!
_MERGE = f"{_CORE}merge"  # what PyYAML calls a plain `<<`
_RESOLVER = yaml.resolver.Resolver()
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_REMEDIES = {  # of what PyYAML says where a person slipped
    "'\\t'": "; indent by spaces",
    "mapping values are not allowed": "; put a text with a colon in quotes, and begin each key on its own line",
}
_TOO_DEEP = "this is nested too deeply to be a suite"


@dataclass(frozen=True)
class Mark:
    """Where a value stands: a file with line and column from 1, or the command line with line 0."""

    file: str
    line: int = 0
    column: int = 0

    def problem(self, route: Route, message: str) -> Problem:
        return Problem(self.file, self.line, self.column, dotted(route), message)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Located:
    """Plain data, and the marks of its keys and values by route."""

    data: Any = None
    keys: dict[Route, Mark] = field(default_factory=dict)
    values: dict[Route, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def mark(self, route: Route, at_key: bool = False) -> Mark:
        """The mark of `route`, or of the nearest thing that encloses it."""
        if at_key and route in self.keys:
            return self.keys[route]
        for length in range(len(route), -1, -1):
            if route[:length] in self.values:
                return self.values[route[:length]]
        return Mark("suite")

    def drop(self, route: Route) -> None:
        """Forget the marks at and below `route`."""
        for marks in (self.keys, self.values):
            for known in [r for r in marks if r[: len(route)] == route]:
                del marks[known]


def dotted(route: Route) -> str:
    """`benchmarks[0].matrix.tokens` for a route."""
    text = ""
    for part in route:
        name = cut(str(part))
        text += f"[{part}]" if isinstance(part, int) else f".{name}" if text else name
    return text


def read(path: Path) -> Located:
    """The file with its marks; duplicate keys and tags are collected as problems.

    Raises:
        SuiteError: the file is missing, is not text, or is not YAML.
    """
    name = str(path)
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as problem:
        near = _near(path) if isinstance(problem, FileNotFoundError) else ""
        raise SuiteError([Problem(name, 0, 0, "", f"cannot be read: {problem.strerror}{near}")]) from None
    except UnicodeDecodeError as problem:
        before = data[: problem.start].decode("utf-8", "replace").split("\n")
        why = f"this is not UTF-8 text: the byte {data[problem.start]:#04x}; save the file as UTF-8"
        raise SuiteError([Problem(name, len(before), len(before[-1]) + 1, "", why)]) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as problem:
        at = getattr(problem, "problem_mark", None)
        line, column = (at.line + 1, at.column + 1) if at else (1, 1)
        what = str(getattr(problem, "problem", None) or str(problem).partition("\n")[0])
        remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in what), "")
        raise SuiteError([Problem(name, line, column, "", f"this is not YAML: {cut(what, A_LINE)}{remedy}")]) from None
    except RecursionError:
        raise SuiteError([Problem(name, 1, 1, "", _TOO_DEEP)]) from None
    located = Located()
    if node is None:
        located.values[()] = Mark(name, 1, 1)
        return located
    budget = iter(range(_MOST_NODES))
    try:
        located.data = _value(node, (), name, located, budget, ())
    except StopIteration:
        raise SuiteError([Problem(name, 1, 1, "", f"its aliases expand to over {_MOST_NODES} values")]) from None
    except RecursionError:
        raise SuiteError([Problem(name, 1, 1, "", _TOO_DEEP)]) from None
    return located


def _near(path: Path) -> str:
    """The end of a sentence: a suite beside a file that is not there, or in suites/, which is called almost so."""
    there = {p.stem: p for folder in (Path("suites"), path.parent) for p in sorted(folder.glob("*.y*ml"))}
    near = difflib.get_close_matches(path.stem, there, n=1)
    return f"; did you mean {there[near[0]]}?" if near else ""


def _value(
    node: yaml.Node, route: Route, file: str, located: Located, budget: Iterator[int], above: tuple[int, ...]
) -> Any:
    next(budget)
    mark = _mark(node, file)
    located.values[route] = mark
    _tag(node, route, mark, located)
    if id(node) in above:
        located.problems.append(mark.problem(route, "an alias stands inside of what it repeats"))
        return None
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, route, file, located, budget, above)
    if isinstance(node, yaml.SequenceNode):
        return [_value(n, (*route, i), file, located, budget, above) for i, n in enumerate(node.value)]
    assert isinstance(node, yaml.ScalarNode)
    if node.style is not None:
        return _whole(node.value)
    return None if node.value in ("", "~", "null", "Null", "NULL") else scalar(node.value)


def _tag(node: yaml.Node, route: Route, mark: Mark, located: Located) -> None:
    """Blame a tag that is written out: what a value is, its text alone says."""
    plain = isinstance(node, yaml.ScalarNode) and node.style is None
    if node.tag != _RESOLVER.resolve(type(node), node.value, (plain, not plain)):  # type: ignore[no-untyped-call]
        told = cut(node.tag.replace(_CORE, "!!"))
        located.problems.append(mark.problem(route, f"the tag {told} means nothing here, remove it"))


def _mapping(
    node: yaml.MappingNode, route: Route, file: str, located: Located, budget: Iterator[int], above: tuple[int, ...]
) -> dict[str, Any]:
    data: dict[str, Any] = {}
    own = [(key, value) for key, value in node.value if key.tag != _MERGE]
    for count, (key_node, value_node) in enumerate((*own, *_inherited(node, above, budget))):
        mark = _mark(key_node, file)
        if count < len(own):
            _tag(key_node, route, mark, located)
        if key_node.tag == _MERGE:
            located.problems.append(mark.problem(route, "<< takes a mapping, or a list of them, from elsewhere"))
            continue
        if not isinstance(key_node, yaml.ScalarNode):
            located.problems.append(mark.problem(route, "a key must be a plain word"))
            continue
        key = _whole(key_node.value)
        here = (*route, key)
        if key in data:
            if count < len(own):
                first = located.keys[here]
                located.problems.append(mark.problem(here, f"this key already stands in line {first.line}"))
            continue
        located.keys[here] = mark
        data[key] = _value(value_node, here, file, located, budget, above)
    return data


def _inherited(
    node: yaml.MappingNode, above: tuple[int, ...], budget: Iterator[int]
) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Keys and values that `<<` brings, the nearest first; the key `<<` itself where it brings none."""
    for key, value in node.value:
        if key.tag != _MERGE:
            continue
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            if not isinstance(source, yaml.MappingNode) or id(source) in above:
                yield key, source
                continue
            for pair in source.value:
                next(budget)
                if pair[0].tag != _MERGE:
                    yield pair
            yield from _inherited(source, (*above, id(source)), budget)


def _whole(text: str) -> str:
    """The text in which two halves of a character, as JSON writes one beyond 16 bits, are that character."""
    return _PAIR.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)


def _mark(node: yaml.Node, file: str) -> Mark:
    return Mark(file, node.start_mark.line + 1, node.start_mark.column + 1)
