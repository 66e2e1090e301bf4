"""The axes of the kind `approximation`: which experiment, and what decides its answer."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from polybench.kind import Axes

Experiment = Literal["network", "power", "product", "taylor", "trained", "scale"]
OF: dict[Experiment, tuple[str, ...]] = {  # the axes that play a part in each
    "network": ("depth", "width"),
    "power": ("degree", "bits"),
    "product": ("bits",),
    "taylor": ("dimension", "smoothness", "bits"),
    "trained": ("target", "dimension", "depth", "parameters", "points", "steps", "lr"),
    "scale": ("width",),
}
CONSTRUCTED = ("power", "product", "taylor")
WRITTEN_DOWN = ("network", *CONSTRUCTED)
MOST_PIECES = 1 << 13  # of a Taylor construction; more take minutes to evaluate
MOST_BITS = {"power": 24, "product": 16, "taylor": 24}  # what the grids still show
EQUAL = 0.03  # share by which numbers of parameters may differ


class ApproximationAxes(Axes):
    """An experiment, and its own axes; the others play no part in it."""

    experiment: Experiment = Field("trained", description="what is built or trained")
    bits: PositiveInt = Field(8, description="power, product, taylor: the error to reach is 2^-bits")
    degree: Literal[2, 3, 4, 6, 8, 9] = Field(2, description="of power: x^degree")
    dimension: Literal[1, 2] = Field(1, description="of taylor, trained: coordinates of the function")
    smoothness: Literal[1, 2, 3] = Field(1, description="of taylor: derivatives n that the construction uses")
    depth: PositiveInt = Field(2, le=32, description="of network, trained: hidden layers")
    width: PositiveInt = Field(32, le=4096, description="of network, scale: hidden units a layer")
    target: Literal["sines", "runge", "cusp", "quadratic"] = Field("sines", description="of trained: the function")
    parameters: PositiveInt = Field(1000, description="of trained: numbers to train, nearly")
    points: PositiveInt = Field(256, description="of trained: random points, all in every step")
    steps: PositiveInt = Field(1000, description="of trained: optimizer steps")
    lr: PositiveFloat | Literal["tuned", "shared"] = Field(
        0.01, description="of trained: peak learning rate; tuned: each activation's own best, shared: the best of all"
    )

    @model_validator(mode="after")
    def _can_be_built(self) -> ApproximationAxes:
        most = MOST_BITS.get(self.experiment, self.bits)
        if self.bits > most:
            raise ValueError(f"bits {self.bits}: the grid of {self.experiment} shows no error below 2^-{most}")
        if self.experiment != "taylor":
            return self
        cells = (pieces(self.dimension, self.smoothness, self.bits) + 1) ** self.dimension
        if cells > MOST_PIECES:
            raise ValueError(
                f"bits {self.bits} take {cells:,} pieces, and more than {MOST_PIECES:,} take minutes; ask for fewer"
            )
        return self

    def idle(self) -> Collection[str]:
        return {*type(self).model_fields} - {"experiment", *OF[self.experiment]}

    def unequal(self, branches: Collection[int]) -> str:
        if self.experiment != "trained":
            return ""
        shape = self.dimension, self.depth
        counts = {G: parameters_of(hidden_width(self.parameters, *shape, G), *shape, G) for G in branches}
        if not counts or max(counts.values()) <= (1 + EQUAL) * min(counts.values()):
            return ""
        told = " and ".join(f"{count:,} ({G} branch{'es' * (G > 1)})" for G, count in sorted(counts.items()))
        return f"parameters {self.parameters} become {told}, more than {EQUAL:.0%} apart; take another number"


def pieces(dimension: int, smoothness: int, bits: int) -> int:
    """N, the steps a coordinate, for which (d / N)^n / n!, the error of Taylor's polynomials, is half of 2^-bits."""
    # A power of two is meant to be met, which rounding may miss by its last digit.
    wanted: float = dimension * (2.0 ** (bits + 1) / math.factorial(smoothness)) ** (1 / smoothness)
    return math.ceil(wanted * (1 - 1e-12))


def parameters_of(width: int, dimension: int, depth: int, branches: int) -> int:
    """Numbers of the affine maps of a network, with their biases; what an activation learns comes on top."""
    return (dimension + 1 + (depth - 1) * (width + 1)) * branches * width + width + 1


def hidden_width(parameters: int, dimension: int, depth: int, branches: int) -> int:
    """The width whose number of parameters is nearest, the smaller one of two."""
    width = 1
    while parameters_of(width + 1, dimension, depth, branches) <= parameters:
        width += 1
    off = {w: abs(parameters_of(w, dimension, depth, branches) - parameters) for w in (width, width + 1)}
    return min(off, key=off.__getitem__)
