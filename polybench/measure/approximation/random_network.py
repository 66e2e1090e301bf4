"""Random ReLU networks as circuits: what PolyReLU with a = (0, 1, 0, 0) must repeat."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

from polybench.measure.approximation.circuit import RELU, Circuit, Network, Wire
from polybench.measure.model.build import generator

INPUTS, POINTS = 4, 8  # rational arithmetic is slow, and every point goes through every weight


def random_network(depth: int, width: int, seed: int) -> tuple[Network, Tensor]:
    """(network of N(0, 2 / inputs) weights and N(0, 1) / 10 biases, points (P, D) of N(0, 1))."""
    circuit = Circuit(INPUTS)
    wires = circuit.inputs
    for layer in range(depth):
        wires = circuit.layer(RELU, _affine(len(wires), width, seed, layer))
    (output,) = _affine(len(wires), 1, seed, depth)
    x_PxD = torch.randn(POINTS, INPUTS, generator=generator(seed, "network", "x"), dtype=torch.float64)
    return circuit.read(output), x_PxD


def in_fractions(network: Network, x_PxD: Tensor) -> list[Fraction]:
    """The outputs in rational arithmetic."""
    return [network.exactly([Fraction(value) for value in x_D]) for x_D in x_PxD.tolist()]


def rounding(found_P: Tensor, exact_P: list[Fraction]) -> float:
    """The largest distance from the exact outputs, over the largest of them."""
    distances = [abs(Fraction(y) - exact) for y, exact in zip(found_P.tolist(), exact_P, strict=True)]
    return float(max(distances) / max(map(abs, exact_P)))


def _affine(before: int, width: int, seed: int, layer: int) -> list[Wire]:
    draws = torch.randn(width, before + 1, generator=generator(seed, "network", layer), dtype=torch.float64)
    rows = (math.sqrt(2 / before) * draws[:, :-1]).tolist()
    return [Wire(dict(enumerate(row)), bias) for row, bias in zip(rows, (draws[:, -1] / 10).tolist(), strict=True)]
