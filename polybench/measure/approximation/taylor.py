"""A smooth function as a sum of Taylor polynomials, each times a bump: Yarotsky, arXiv:1610.01145, theorem 1.

f is in the unit ball of W^{n,inf}([-1, 1]^d), that is no derivative up to the order n exceeds 1. Around each of
(N + 1)^d nodes stands its Taylor polynomial of degree n - 1, times a product of trapezoids that are 1 within a third of
the step H = 2 / N, 0 beyond two thirds, and sum to 1. The error is at most (d H / 2)^n / n!. Trapezoids are exact in
ReLU and PolyReLU alike; products are what differs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement, pairwise, product

import torch
from torch import Tensor

from polybench.measure.approximation.circuit import RELU, Circuit, Network, Wire, total
from polybench.measure.approximation.products import Multiplier, multiplier
from polybench.measure.approximation_axes import pieces

# Dimension key: P points, D coordinates.

Powers = tuple[int, ...]  # of each coordinate


def smooth(x_PxD: Tensor) -> Tensor:
    """The function that is approximated, f(x) = product over k = 1..d of sin(x_k + k)."""
    return torch.sin(x_PxD + torch.arange(1, x_PxD.shape[1] + 1)).prod(-1)


def derivative(orders: Sequence[int], x: Sequence[float]) -> float:
    """That of f at a point, of so many orders in each coordinate."""
    return math.prod(math.sin(x_k + k + 0.5 * math.pi * a) for k, (a, x_k) in enumerate(zip(orders, x, strict=True), 1))


def taylor(name: str, dimension: int, smoothness: int, bits: int) -> Network:
    """f within 2^-bits; `smoothness` is n, 1 to 3. Raises Unsupported for other activations than two."""
    N = pieces(dimension, smoothness, bits)
    reach = 4 * dimension / (3 * N)  # sum of distances to the node, where a bump is not 0
    largest = sum(reach**k / math.factorial(k) for k in range(smoothness))  # of a polynomial there
    # Products a bump goes through, those that are not 0 at a point, and the shared squares in n = 3.
    rounds = dimension - 1 + (smoothness > 1)
    amplified = rounds * 2**dimension * largest + (0.5 * dimension**2 if smoothness > 2 else 0.0)
    by, circuit = multiplier(name, bits + 1, amplified), Circuit(dimension)
    names, x = _monomials(circuit, by, smoothness)
    by_coordinate, kept = _bumps(circuit, N, x[:dimension], x if smoothness > 1 else [])
    cells = list(product(range(N + 1), repeat=dimension))
    nodes = [tuple(2 * m / N - 1 for m in cell) for cell in cells]
    bumps = by_coordinate[0]
    if dimension == 2:
        bumps, kept = by.multiply(circuit, [(by_coordinate[0][i], by_coordinate[1][j]) for i, j in cells], kept)
    if smoothness == 1:
        zero = (0,) * dimension
        return circuit.read(total((derivative(zero, node), bump) for node, bump in zip(nodes, bumps, strict=True)))
    monomials = dict(zip(names, kept, strict=True))
    local = [_polynomial(node, smoothness, monomials) * (1 / largest) for node in nodes]
    terms, _ = by.multiply(circuit, list(zip(bumps, local, strict=True)))
    return circuit.read(total((largest, term) for term in terms))


def _monomials(circuit: Circuit, by: Multiplier, smoothness: int) -> tuple[list[Powers], list[Wire]]:
    """Coordinates, and for n = 3 their products behind them: (which, as wires)."""
    x, D = circuit.inputs, circuit.dimension
    squares = list(combinations_with_replacement(range(D), 2)) if smoothness > 2 else []
    names = [_powers(D, places) for places in [*((k,) for k in range(D)), *squares]]
    if not squares:
        return names, x
    made, x = by.multiply(circuit, [(x[i], x[j]) for i, j in squares], x)
    return names, [*x, *made]


def _powers(dimension: int, coordinates: Sequence[int]) -> Powers:
    return tuple(coordinates.count(k) for k in range(dimension))


def _bumps(circuit: Circuit, N: int, x: Sequence[Wire], kept: Sequence[Wire]) -> tuple[list[list[Wire]], list[Wire]]:
    """(trapezoids by coordinate and node, what was kept), in one layer of ReLU.

    Between two nodes a ramp rises from 0 to 1; a trapezoid is the ramp before its node less the one behind it.
    """
    third = 2 / (3 * N)
    knots = [knot for j in range(N) for knot in ((3 * j + 1) * third - 1, (3 * j + 2) * third - 1)]
    y = circuit.layer(RELU, [*(x_k - knot for x_k in x for knot in knots), *(w + 1.0 for w in kept)])
    bumps = []
    for k in range(len(x)):
        pairs = [y[2 * (k * N + j) : 2 * (k * N + j) + 2] for j in range(N)]
        ramps = [Wire({}, 1.0), *((a - b) * (1 / third) for a, b in pairs), Wire({})]
        bumps.append([before - behind for before, behind in pairwise(ramps)])
    return bumps, [w - 1.0 for w in y[len(y) - len(kept) :]]


def _polynomial(node: Sequence[float], smoothness: int, monomials: Mapping[Powers, Wire]) -> Wire:
    """The Taylor polynomial around a node, of degree n - 1 at most 2, written in monomials of x."""
    coefficients: dict[Powers, float] = defaultdict(float)
    for degree in range(smoothness):
        for places in combinations_with_replacement(range(len(node)), degree):
            orders = _powers(len(node), places)
            size = derivative(orders, node) / math.prod(map(math.factorial, orders))
            for powers in product(*(range(order + 1) for order in orders)):  # of (x - node)^orders
                rest = (math.comb(a, b) * (-t) ** (a - b) for a, b, t in zip(orders, powers, node, strict=True))
                coefficients[powers] += size * math.prod(rest)
    constant = coefficients.pop((0,) * len(node))
    return total((c, monomials[powers]) for powers, c in coefficients.items()) + constant
