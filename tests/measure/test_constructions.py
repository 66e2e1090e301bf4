"""Built networks against closed forms and rational arithmetic: what is exact is equal, what is not is off as proved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product as pairs

import pytest
import torch
from builders import LAWS
from hypothesis import given
from hypothesis import strategies as st

from polybench.errors import Unsupported
from polybench.measure.approximation import taylor
from polybench.measure.approximation.circuit import RELU, SQUARE, Circuit, Network, Wire, with_coefficients
from polybench.measure.approximation.products import Exact, Multiplier, Sawtooth, power, product
from polybench.measure.approximation.random_network import in_fractions, random_network, rounding
from polybench.measure.approximation.targets import grid
from polybench.measure.approximation_axes import pieces
from polybench.measure.model.build import chosen

RELU_NET, POLYRELU_NET = chosen("relu"), chosen("polyrelu")
ROUNDOFF = 2.0**-53
within_one = st.fractions(-1, 1, max_denominator=1000)


def of(network: Network, *x: Fraction | float) -> Fraction:
    return network.exactly([Fraction(v) for v in x])


@pytest.mark.parametrize("teeth", range(7))
def test_a_sawtooth_square_is_off_by_what_yarotsky_proved(teeth: int) -> None:
    """Nowhere at the multiples of 2^-teeth, and by exactly 4^-(teeth + 1) half-way between them."""
    circuit = Circuit(1)
    (x,) = circuit.inputs
    (square,), _ = Sawtooth(teeth).multiply(circuit, [(x, x)])
    network = circuit.read(square)
    for place in range(-(2 ** (teeth + 1)), 2 ** (teeth + 1) + 1):
        x_at = Fraction(place, 2 ** (teeth + 1))
        assert of(network, x_at) - x_at**2 == (place % 2) * Fraction(1, 4 ** (teeth + 1))
    assert network.units == (3 * teeth + 1 if teeth else 2)
    assert len(network.layers) == teeth + 1


@LAWS
@given(within_one, within_one, st.integers(2, 10))
def test_a_sawtooth_product_is_as_close_as_asked(x: Fraction, y: Fraction, bits: int) -> None:
    network = product("relu", bits)
    assert abs(of(network, x, y) - x * y) <= Fraction(1, 2**bits)
    assert of(network, x, 0) == of(network, 0, y) == 0


@LAWS
@given(st.fractions(-50, 50, max_denominator=1000), st.sampled_from([2, 3, 4, 6, 8, 9]), st.integers(1, 24))
def test_powers_and_products_are_exact_in_polyrelu(x: Fraction, degree: int, bits: int) -> None:
    """Everywhere, and with as many units whatever the error that is asked for."""
    assert of(power("polyrelu", degree, bits), x) == x**degree
    assert of(product("polyrelu", bits), x, 1 - x) == x * (1 - x)
    assert power("polyrelu", degree, bits).units == power("polyrelu", degree, 1).units <= 6
    assert product("polyrelu", bits).units == 4


@pytest.mark.parametrize(("degree", "bits"), list(pairs([2, 3, 4, 6, 8, 9], [1, 5, 10])))
def test_powers_in_relu_are_as_close_as_asked(degree: int, bits: int) -> None:
    network = power("relu", degree, bits)
    for place in range(-37, 38):
        x = Fraction(place, 37)
        assert abs(of(network, x) - x**degree) <= Fraction(1, 2**bits)


@pytest.mark.parametrize("by", [Exact(), Sawtooth(0), Sawtooth(1), Sawtooth(4)], ids=str)
def test_what_is_kept_beside_products_stays_what_it_is(by: Multiplier) -> None:
    circuit = Circuit(2)
    x, y = circuit.inputs
    _, (kept, shifted) = by.multiply(circuit, [(x, y), (x, x)], [y, 0.5 * x + 2.0])
    values = [Fraction(-1), Fraction(-3, 7), Fraction(0), Fraction(5, 9)]
    for a, b in pairs(values, values):
        assert of(circuit.read(kept), a, b) == b
        assert of(circuit.read(shifted), a, b) == a / 2 + 2


@pytest.mark.parametrize(
    ("dimension", "smoothness", "bits"), [(1, 1, 4), (1, 2, 8), (1, 3, 10), (2, 1, 1), (2, 2, 3), (2, 3, 4)]
)
def test_taylor_networks_are_as_close_as_asked_and_run_as_they_are_written(
    dimension: int, smoothness: int, bits: int
) -> None:
    points = grid(dimension, {1: 501, 2: 23}[dimension])
    few = points[:: len(points) // 5]
    for activation in (RELU_NET, POLYRELU_NET):
        network = taylor.taylor(activation.spec.name, dimension, smoothness, bits)
        assert (network(points, activation) - taylor.smooth(points)).abs().max() <= 2.0**-bits
        exact = [float(of(network, *x)) for x in few.tolist()]
        assert network(few, activation).tolist() == pytest.approx(exact, rel=0, abs=1e-13)


@pytest.mark.parametrize(("dimension", "smoothness"), list(pairs([1, 2], [1, 2, 3])))
def test_taylor_networks_are_what_they_expand_if_that_is_a_polynomial(
    dimension: int, smoothness: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bumps sum to 1, and every local polynomial is the same one: (1 + x)^(n - 1), or that of x + 2 y."""

    def of_power(orders: Sequence[int], x: Sequence[float]) -> float:
        order, degree = sum(orders), smoothness - 1
        inner = math.prod((k + 1) ** a for k, a in enumerate(orders))
        return inner * math.perm(degree, order) * (1 + x[0] + 2 * sum(x[1:])) ** max(0, degree - order)

    monkeypatch.setattr(taylor, "derivative", of_power)
    network = taylor.taylor("polyrelu", dimension, smoothness, 2)
    points = grid(dimension, 17)
    wanted = (1 + points[:, 0] + 2 * points[:, 1:].sum(-1)) ** (smoothness - 1)
    assert (network(points, POLYRELU_NET) - wanted).abs().max() <= 1e-12


def test_derivatives_are_those_of_the_function() -> None:
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64, requires_grad=True)
    value = taylor.smooth(x)
    assert value.item() == pytest.approx(taylor.derivative((0, 0), x[0].tolist()), rel=1e-14)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    assert first[0].tolist() == pytest.approx([taylor.derivative(a, x[0].tolist()) for a in ((1, 0), (0, 1))])
    (second,) = torch.autograd.grad(first[0, 0], x)
    assert second[0].tolist() == pytest.approx([taylor.derivative(a, x[0].tolist()) for a in ((2, 0), (1, 1))])


def test_pieces_are_as_many_as_taylors_remainder_asks_for() -> None:
    """(d / N)^n / n! is at most half of 2^-bits, and with one piece fewer it is more."""
    for d, n, bits in pairs([1, 2], [1, 2, 3], range(1, 15)):
        N = pieces(d, n, bits)
        error, fewer = (Fraction(d, m) ** n / math.factorial(n) for m in (N, max(1, N - 1)))
        assert error <= Fraction(1, 2 ** (bits + 1)) < (fewer if N > 1 else 2)


@pytest.mark.parametrize(("depth", "width"), [(1, 3), (3, 8), (6, 5)])
def test_a_relu_network_is_a_polyrelu_network_to_the_bit(depth: int, width: int) -> None:
    network, x_PxD = random_network(depth, width, seed=1)
    plain, poly = network(x_PxD, RELU_NET), network(x_PxD, POLYRELU_NET)
    assert torch.equal(plain, poly)
    exact = in_fractions(network, x_PxD)
    # A sum of so many terms a layer, each rounded twice.
    assert 0 < rounding(plain, exact) <= depth * 2 * (width + 4) * ROUNDOFF * 10
    assert rounding(plain + 1e-9, exact) > 1e-11
    assert network.units == depth * width


def test_a_network_by_hand() -> None:
    """relu(2 x - 1)^2 - 3 x + 1/2 where a unit passes x on."""
    circuit = Circuit(1)
    (x,) = circuit.inputs
    (u,) = circuit.layer(RELU, [x + 4.0])
    squared, passed = circuit.layer(SQUARE, [2.0 * u - 9.0, Wire({}, 2.0)])
    network = circuit.read(squared - 0.75 * passed + 0.5)
    assert of(network, Fraction(3, 4)) == Fraction(1, 4) - 3 + Fraction(1, 2)
    assert (network.units, network.weights) == (3, 2 + 2 + 1 + 3)
    x_Px1 = torch.tensor([[0.75], [0.5], [-1.0]], dtype=torch.float64)
    assert network(x_Px1, POLYRELU_NET).tolist() == [-2.25, -2.5, -2.5]


@pytest.mark.parametrize("name", ["gelu", "relu", "polyrelu(order=1)", "polynorm"])
def test_an_activation_without_the_power_is_told(name: str) -> None:
    with pytest.raises(Unsupported, match=f"{name.split('(')[0]}.* cannot be sum a_i relu"):
        with_coefficients(chosen(name), SQUARE)
