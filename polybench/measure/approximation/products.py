"""Squares, products and powers of wires: exact in PolyReLU, and by sawtooths in ReLU.

In PolyReLU x^2 = relu(x)^2 + relu(-x)^2 and x^3 = relu(x)^3 - relu(-x)^3, whatever x is. In ReLU the m-fold tooth
g_m interpolates: x - sum over s = 1..m of g_s(x) / 4^s is x^2 at the multiples of 2^-m and at most 4^-(m+1) above it
between them (Telgarsky, arXiv:1509.08101; Yarotsky, arXiv:1610.01145, proposition 2). A product is a difference of
two squares in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from polybench.errors import Unsupported
from polybench.measure.approximation.circuit import CUBE, RELU, SQUARE, Circuit, Network, Wire

Pair = tuple[Wire, Wire]


class Multiplier(Protocol):
    """How products are made: of pairs whose half sums and differences lie in [-1, 1], keeping wires in [-1, inf)."""

    def multiply(
        self, circuit: Circuit, pairs: Sequence[Pair], kept: Sequence[Wire] = ()
    ) -> tuple[list[Wire], list[Wire]]:
        """(products, what was kept) as wires of the last layer that this adds."""
        ...

    def cube(self, circuit: Circuit, x: Wire) -> Wire: ...


@dataclass(frozen=True)
class Exact:
    """PolyReLU: one layer for any number of products, 4 units each, 2 for a square, a cube or what is kept."""

    def multiply(
        self, circuit: Circuit, pairs: Sequence[Pair], kept: Sequence[Wire] = ()
    ) -> tuple[list[Wire], list[Wire]]:
        units: list[Wire] = []
        for u, v in pairs:
            units += [u, -u] if u is v else [u + v, -(u + v), u - v, v - u]
        for w in kept:
            units += [w + 1.0, w + 2.0]  # p = w + 1 is not negative, and (p + 1)^2 - p^2 = 2 p + 1
        y = iter(circuit.layer(SQUARE, units))
        products = [next(y) + next(y) if u is v else 0.25 * (next(y) + next(y) - next(y) - next(y)) for u, v in pairs]
        return products, [-0.5 * next(y) + 0.5 * next(y) - 1.5 for _ in kept]

    def cube(self, circuit: Circuit, x: Wire) -> Wire:
        above, below = circuit.layer(CUBE, [x, -x])
        return above - below


@dataclass(frozen=True)
class Sawtooth:
    """ReLU: 1 + teeth layers; a square takes 3 teeth + 1 units, a product twice that, what is kept one a layer."""

    teeth: int

    def multiply(
        self, circuit: Circuit, pairs: Sequence[Pair], kept: Sequence[Wire] = ()
    ) -> tuple[list[Wire], list[Wire]]:
        squared: list[Wire] = []
        for u, v in pairs:
            squared += [u] if u is v else [0.5 * (u + v), 0.5 * (u - v)]
        size = len(squared)
        y = circuit.layer(RELU, [*(s for x in squared for s in (x, -x)), *(w + 1.0 for w in kept)])
        tooth = parabola = [y[2 * i] + y[2 * i + 1] for i in range(size)]
        held = y[2 * size :]
        for level in range(1, self.teeth + 1):
            # The tooth 2 min(t, 1 - t) is 2 relu(t) - 4 relu(t - 1/2) within [0, 1].
            first, units = level == 1, [s for t in tooth for s in (t, t - 0.5)]
            y = circuit.layer(RELU, [*units, *(() if first else parabola), *held])
            tooth = [2.0 * y[2 * i] - 4.0 * y[2 * i + 1] for i in range(size)]
            before = [y[2 * i] for i in range(size)] if first else y[2 * size : 3 * size]
            parabola = [p - 0.25**level * t for p, t in zip(before, tooth, strict=True)]
            held = y[len(y) - len(kept) :]
        squares = iter(parabola)
        products = [next(squares) if u is v else next(squares) - next(squares) for u, v in pairs]
        return products, [w - 1.0 for w in held]

    def cube(self, circuit: Circuit, x: Wire) -> Wire:
        (square,), (x,) = self.multiply(circuit, [(x, x)], [x])
        (cube,), _ = self.multiply(circuit, [(square, x)])
        return cube


def multiplier(name: str, bits: int, amplified: float) -> Multiplier:
    """That of an activation, for a network in which the error of a product is `amplified` so many times.

    ReLU gets as few teeth as keep the error within 2^-bits.

    Raises:
        Unsupported: no construction is known here in that activation.
    """
    if name == "polyrelu":
        return Exact()
    if name != "relu":
        raise Unsupported(f"no construction is known here in {name}, but in relu and polyrelu; leave it away")
    teeth = 0
    while amplified * 0.25 ** (teeth + 1) > 0.5**bits:
        teeth += 1
    return Sawtooth(teeth)


def power(name: str, degree: int, bits: int) -> Network:
    """x^degree on [-1, 1] within 2^-bits, by squares and cubes one after the other."""
    factors = _factors(degree)
    amplified = 0
    for factor in factors:  # of a square and of a cube: what they add, and what they make of an error before
        amplified = 1 + 2 * amplified if factor == 2 else 2 + 3 * amplified
    by, circuit = multiplier(name, bits, amplified), Circuit(1)
    (x,) = circuit.inputs
    for factor in factors:
        x = by.cube(circuit, x) if factor == 3 else by.multiply(circuit, [(x, x)])[0][0]
    return circuit.read(x)


def product(name: str, bits: int) -> Network:
    """x y on [-1, 1]^2 within 2^-bits."""
    circuit = Circuit(2)
    x, y = circuit.inputs
    (xy,), _ = multiplier(name, bits, 1).multiply(circuit, [(x, y)])
    return circuit.read(xy)


def _factors(degree: int) -> list[int]:
    """Twos and threes whose product it is."""
    factors = []
    for prime in (2, 3):
        while degree % prime == 0:
            factors.append(prime)
            degree //= prime
    return factors
