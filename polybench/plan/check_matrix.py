"""What is wrong with a matrix: unknown axes, values that cannot be, and cells that make no sense."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from polybench.errors import Problem, did_you_mean, in_short
from polybench.kind import Kind
from polybench.plan.located import Located, Route
from polybench.plan.matrix import RESERVED, MatrixError, combinations, included
from polybench.plan.problems import belongs, in_words, repeated, unused


def matrix_problems(
    kind: Kind, matrix: dict[str, Any], located: Located, route: Route, branches: Collection[int] = ()
) -> list[Problem]:
    """Problems of single values first; whole cells are then judged with the sound axes only.

    `branches` are those of the activations that are compared in every cell.
    """
    problems: list[Problem] = []
    sound: dict[str, Any] = {}
    for key, values in matrix.items():
        here = (*route, key)
        if key in RESERVED:
            wrong = _patterns(kind, values, located, here)
        elif values == []:
            wrong = [located.mark(here).problem(here, "this list is empty, so nothing would be measured")]
        else:
            wrong = _axis(kind, key, values, located, here)
        problems += wrong
        if not wrong:
            sound[key] = values
    return problems + _cells(kind, sound, located, route, branches)


def _patterns(kind: Kind, patterns: Any, located: Located, route: Route) -> list[Problem]:
    if not isinstance(patterns, list):
        return [located.mark(route).problem(route, "this must be a list of mappings")]
    problems: list[Problem] = []
    for index, pattern in enumerate(patterns):
        here = (*route, index)
        if not isinstance(pattern, dict):
            problems.append(located.mark(here).problem(here, "this must be a mapping of axes to values"))
            continue
        for axis, value in pattern.items():
            problems += _axis(kind, axis, value, located, (*here, axis), listed=False)
    return problems


def _axis(kind: Kind, axis: str, given: Any, located: Located, route: Route, listed: bool = True) -> list[Problem]:
    fields = kind.axes.model_fields
    if axis in kind.unused:
        return [located.mark(route, at_key=True).problem(route, unused(kind, axis))]
    if axis not in fields:
        message = f"{kind.name} has no axis {in_short(axis)}, {belongs(kind, axis) or did_you_mean(axis, fields)}"
        return [located.mark(route, at_key=True).problem(route, message)]
    field = fields[axis]
    meaning: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    adapter: TypeAdapter[Any] = TypeAdapter(meaning)
    many = listed and isinstance(given, list)
    problems: list[Problem] = []
    values = given if many else [given]
    for index, value in enumerate(values):
        here = (*route, index) if many else route
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as failure:
            problems += in_words(failure, kind.axes, located, here)[:1]
    for index in repeated(values) if many else ():
        here = (*route, index)
        problems.append(located.mark(here).problem(here, f"{in_short(values[index])} stands in this list twice"))
    return problems


def _cells(
    kind: Kind, matrix: dict[str, Any], located: Located, route: Route, branches: Collection[int]
) -> list[Problem]:
    try:
        cells = combinations(matrix, kind)
    except MatrixError as problem:
        here = (*route, *problem.route)
        return [located.mark(here).problem(here, str(problem))]
    problems = _idle(kind, matrix, cells, located, route)
    for axes in cells:
        for message in _wrong(kind, axes, branches):
            blamed = next((a for a in matrix if a in message and a not in RESERVED), None)
            here = (*route, blamed) if blamed else route
            problems.append(located.mark(here).problem(here, message))
    return problems


def _idle(
    kind: Kind, matrix: dict[str, Any], cells: Collection[dict[str, Any]], located: Located, route: Route
) -> list[Problem]:
    """Axes that are said and play no part: of the matrix in no cell at all, of an included cell not in that one."""
    extras = [(extra, included(matrix, kind, extra)) for extra in matrix.get("include", [])]
    try:
        never = set.intersection(*({*kind.axes(**cell).idle()} for cell in cells))
        idle = [(*route, axis) for axis in matrix if axis in never and matrix[axis] is not None]
        for index, (extra, cell) in enumerate(extras):
            alone = {*kind.axes(**cell).idle()}
            idle += [(*route, "include", index, axis) for axis in extra if axis in alone]
    except ValidationError:  # said of the cell
        return []
    problems = []
    for here in idle:
        axis, mark = str(here[-1]), located.mark(here, at_key=True)
        if mark.line and any(mark.file != located.mark((*route, other)).file for other in matrix):
            continue  # whoever changed another value by -s, or in a file that extends this one, cannot take it away
        message = f"{axis} ({kind.axes.model_fields[axis].description}) plays no part here, so leave it away"
        problems.append(mark.problem(here, message))
    return problems


def _wrong(kind: Kind, cell: dict[str, Any], branches: Collection[int]) -> list[str]:
    """Why there can be no such cell, or not for these activations together."""
    try:
        why = kind.axes(**cell).unequal(branches)
    except ValidationError as failure:
        return [error["msg"].removeprefix("Value error, ") for error in failure.errors()]
    return [why] if why else []
