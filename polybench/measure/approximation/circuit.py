"""A network of ReLU or PolyReLU built wire by wire, run as torch runs it, and in rational arithmetic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from torch import Tensor

from polybench.errors import Unsupported
from polybench.measure.model.build import Chosen

# Dimension key: D inputs of the network, P points, U units of a layer, V units of the layer before.

RELU = (0, 1)  # coefficients a_0, a_1, ... of sum a_i relu(x)^i
SQUARE = (0, 0, 1)
CUBE = (0, 0, 0, 1)
_MOST_NUMBERS = 1 << 22  # of a layer over a chunk of points: 32 MiB


@dataclass(frozen=True)
class Wire:
    """sum of coefficient times unit of the last layer, plus a constant: what a next unit, or the output, is given."""

    terms: Mapping[int, float]
    constant: float = 0.0

    def __add__(self, other: Wire | float) -> Wire:
        return (
            total([(1.0, self), (1.0, other)]) if isinstance(other, Wire) else Wire(self.terms, self.constant + other)
        )

    def __sub__(self, other: Wire | float) -> Wire:
        return self + -1.0 * other

    def __mul__(self, factor: float) -> Wire:
        return Wire({unit: factor * c for unit, c in self.terms.items()}, factor * self.constant)

    __rmul__ = __mul__

    def __neg__(self) -> Wire:
        return self * -1.0


def total(weighted: Iterable[tuple[float, Wire]]) -> Wire:
    """sum of factor times wire; what cancels is no connection."""
    terms: dict[int, float] = defaultdict(float)
    constant = 0.0
    for factor, wire in weighted:
        constant += factor * wire.constant
        for unit, coefficient in wire.terms.items():
            terms[unit] += factor * coefficient
    return Wire({unit: c for unit, c in terms.items() if c}, constant)


@dataclass(frozen=True)
class Layer:
    """Units that share the coefficients of one activation."""

    coefficients: tuple[int, ...]
    units: tuple[Wire, ...]


class Circuit:
    """A network that grows a layer at a time; the wires of a layer may be read by the next one alone."""

    def __init__(self, dimension: int):
        self.dimension = dimension
        self.inputs = [Wire({k: 1.0}) for k in range(dimension)]
        self._layers: list[Layer] = []

    def layer(self, coefficients: tuple[int, ...], units: Sequence[Wire]) -> list[Wire]:
        """A further layer of these units; their values as wires."""
        self._layers.append(Layer(coefficients, tuple(units)))
        return [Wire({i: 1.0}) for i in range(len(units))]

    def read(self, output: Wire) -> Network:
        """The network that ends in this wire."""
        return Network(self.dimension, tuple(self._layers), output)


@dataclass(frozen=True)
class Network:
    """Affine maps with an activation between them, from D inputs to one output."""

    dimension: int
    layers: tuple[Layer, ...]
    output: Wire

    @property
    def units(self) -> int:
        return sum(len(layer.units) for layer in self.layers)

    @property
    def weights(self) -> int:
        """Numbers of all matrices and vectors that are not 0."""
        wires = [*(unit for layer in self.layers for unit in layer.units), self.output]
        return sum(len(wire.terms) + (wire.constant != 0) for wire in wires)

    def __call__(self, x_PxD: Tensor, activation: Chosen) -> Tensor:
        """Outputs (P,) in float64, with the activation as it is registered.

        Raises Unsupported when the activation has no coefficients that a layer needs.
        """
        calls = [with_coefficients(activation, layer.coefficients) for layer in self.layers]
        widest = max(self.dimension, *(len(layer.units) for layer in self.layers))
        parts = x_PxD.split(max(1, _MOST_NUMBERS // widest))
        return torch.cat([self._run(part_PxD.T.contiguous(), calls) for part_PxD in parts])

    def _run(self, x_VxP: Tensor, calls: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
        for (weight_UxV, bias_Ux1), call in zip(self._matrices[:-1], calls, strict=True):
            x_VxP = call(torch.sparse.mm(weight_UxV, x_VxP) + bias_Ux1)
        weight_1xV, bias_1x1 = self._matrices[-1]
        return (torch.sparse.mm(weight_1xV, x_VxP) + bias_1x1)[0]

    @cached_property
    def _matrices(self) -> list[tuple[Tensor, Tensor]]:
        widths = [self.dimension, *(len(layer.units) for layer in self.layers)]
        rows = [*(layer.units for layer in self.layers), (self.output,)]
        return [_affine(units, width) for units, width in zip(rows, widths, strict=True)]

    def exactly(self, x_D: Sequence[Fraction]) -> Fraction:
        """The output in rational arithmetic, every weight being the number that its float stands for."""
        values = list(x_D)
        for layer in self.layers:
            values = [_polynomial(layer.coefficients, _read(unit, values)) for unit in layer.units]
        return _read(self.output, values)


def with_coefficients(activation: Chosen, coefficients: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """The registered activation in float64 as sum a_i relu(x)^i.

    Raises:
        Unsupported: it is neither ReLU nor PolyReLU, or of too low an order.
    """
    module = activation.module().double()
    if activation.spec.name == "relu" and coefficients == RELU:
        return activation.executed(module)
    order = len(getattr(module, "weight", ()))
    if activation.spec.name != "polyrelu" or order + 1 < len(coefficients):
        raise Unsupported(f"{activation.spec} cannot be sum a_i relu(x)^i with a = {coefficients}")
    a_0, *rest = (*coefficients, *[0] * (order + 1 - len(coefficients)))
    with torch.no_grad():
        module.bias.fill_(a_0)  # type: ignore[operator]
        module.weight.copy_(torch.tensor(rest[::-1], dtype=torch.float64))  # type: ignore[operator]
        return activation.executed(module.requires_grad_(False))


def _affine(units: Sequence[Wire], width: int) -> tuple[Tensor, Tensor]:
    """Weights (U, V), sparse, and biases (U, 1)."""
    rows = [row for row, unit in enumerate(units) for _ in unit.terms]
    columns = [column for unit in units for column in unit.terms]
    values = [value for unit in units for value in unit.terms.values()]
    places, numbers = torch.tensor([rows, columns]), torch.tensor(values, dtype=torch.float64)
    weight_UxV = torch.sparse_coo_tensor(places, numbers, (len(units), width), check_invariants=True)
    return weight_UxV.coalesce(), torch.tensor([[unit.constant] for unit in units], dtype=torch.float64)


def _read(wire: Wire, values: Sequence[Fraction]) -> Fraction:
    return sum((Fraction(c) * values[unit] for unit, c in wire.terms.items()), Fraction(wire.constant))


def _polynomial(coefficients: Sequence[int], x: Fraction) -> Fraction:
    y = max(x, Fraction(0))
    return sum((a * y**i for i, a in enumerate(coefficients)), Fraction(0))
