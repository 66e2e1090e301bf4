"""The rectangle of a benchmark: every combination of its axes, with include and exclude."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

from polybench.kind import Kind
from polybench.plan.located import Route
from polybench.spec import Scalar

RESERVED = ("include", "exclude")
MOST_CELLS = 10_000  # of one benchmark; more is a slip of the pen


class MatrixError(ValueError):
    """A matrix without a cell; `route` is the part to blame."""

    def __init__(self, message: str, route: Route = ()):
        super().__init__(message)
        self.route = route


def combinations(matrix: Mapping[str, Any], kind: Kind) -> list[dict[str, Scalar]]:
    """Axes of every cell: the product, less what `exclude` matches, plus each of `include`.

    Raises:
        MatrixError: nothing is left, or an exclude matches nothing.
    """
    if math.prod(len(v) for k, v in matrix.items() if k not in RESERVED and isinstance(v, list)) > MOST_CELLS:
        raise MatrixError(f"this matrix has more than {MOST_CELLS} cells; split it over several suites")
    defaults = kind.axes().model_dump()
    lists = {k: v if isinstance(v, list) else [v] for k, v in matrix.items() if k not in RESERVED}
    cells = [{**defaults, **dict(zip(lists, values, strict=True))} for values in product(*lists.values())]
    for index, pattern in enumerate(matrix.get("exclude", [])):
        kept = [c for c in cells if any(c[k] != v for k, v in pattern.items())]
        if len(kept) == len(cells):
            raise MatrixError("this excludes nothing", ("exclude", index))
        cells = kept
    for extra in matrix.get("include", []):
        cell = included(matrix, kind, extra)
        if cell not in cells:
            cells.append(cell)
    if not cells:
        raise MatrixError("nothing is left of this matrix", ("exclude",))
    return cells


def included(matrix: Mapping[str, Any], kind: Kind, extra: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The cell that an entry of `include` stands for: the first listed value, or the default, of what it leaves out."""
    first = {k: v[0] if isinstance(v, list) else v for k, v in matrix.items() if k not in RESERVED}
    return {**kind.axes().model_dump(), **first, **extra}
