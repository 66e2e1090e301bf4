"""approximation: how large a network is that is built for a given error, and how small an error training reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from polybench.errors import Diverged, Unsupported
from polybench.kind import Item, Progress, Protocol
from polybench.measure.approximation_axes import WRITTEN_DOWN, ApproximationAxes, hidden_width, pieces
from polybench.measure.training_metrics import LEARNING_RATE
from polybench.metric import Metric, Question
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

    from polybench.measure.approximation.circuit import Network
    from polybench.measure.model.build import Chosen

DECADES = range(-4, 5)  # log10 of the scales of the input
ROWS = 256  # of an input that is scaled
# Steps of the grids, by the number of coordinates. Sawtooths are worst at odd multiples of a power of two, which the
# fine grids hold for the most bits there may be; pieces of a Taylor construction have no such place, so primes do.
DYADIC_STEPS, PRIME_STEPS = {1: 1 << 15, 2: 1 << 9}, {1: 10007, 2: 101}
HELD_OUT_STEPS = {1: 4001, 2: 101}
TOLD_EVERY = 50  # steps of a training

ROUNDING = Metric(
    "rounding_error", "1", "lower", "nothing",
    "Of a random ReLU network in float64: largest distance of its outputs from rational arithmetic, over the largest "
    "output; PolyReLU takes its place with a = (0, 1, 0, 0). The worst of the seeds.",
)  # fmt: skip
DEPARTURE = Metric(
    "departure", "1", "lower", "nothing",
    "Largest difference of its outputs from those of torch's own ReLU with the same weights; 0 is equal to the bit.",
)  # fmt: skip
BUILT_ERROR = Metric(
    "built_error", "1", "lower", "nothing",
    "Largest |network - function| of a network whose weights are written down, in float64 on a fine grid.",
)  # fmt: skip
UNITS = Metric("units", "1", "lower", "nothing", "Hidden units of that network.")
LAYERS = Metric("hidden_layers", "1", "lower", "nothing", "Hidden layers of that network.")
WEIGHTS = Metric("weights", "1", "lower", "nothing", "Numbers of its matrices and biases that are not 0.")
L2_ERROR = Metric(
    "log_l2_error", "decade", "lower", "seed",
    "log10 of a trained network's root mean square error on a grid, over the function's own root mean square.",
    asked=Question("On smooth functions", "the lowest error"), title="log10 of the L2 error", by_seed=True,
)  # fmt: skip
SUP_ERROR = Metric(
    "log_sup_error", "decade", "lower", "seed",
    "log10 of a trained network's largest error on a grid, over the function's largest absolute value.",
    title="log10 of the largest error", by_seed=True,
)  # fmt: skip
PARAMETERS = Metric("parameters", "1", "neither", "nothing", "Trained numbers, those of the activations too.")
SCALE_CHANGE = Metric(
    "scale_change", "1", "neither", "nothing",
    "|f(c x) - f(x)| / |f(x)| for inputs x of N(0, 1), the largest over c = 10^-4 to 10^4 and the seeds.",
)  # fmt: skip
RADIAL_SHARE = Metric(
    "radial_share", "1", "neither", "nothing",
    "Largest |x . dL/dx| / (|x| |dL/dx|) of a row x of N(0, 1), L being linear in f(x): 0 where f(c x) = f(x).",
)  # fmt: skip
SCALE_CURVE = Metric(
    "scale_change_curve", "1", "neither", "nothing", "|f(c x) - f(x)| / |f(x)| by log10 of c.", curve=True
)
RADIAL_CURVE = Metric(
    "radial_share_curve", "1", "neither", "nothing", "radial_share by log10 of the scale of its input.", curve=True
)


def _seconds(axes: ApproximationAxes, protocol: Protocol) -> float:
    """On one EPYC core, the mean over the activations of suites/paper/theory.yaml."""
    if axes.experiment == "trained":
        return 3e-4 * axes.steps * axes.depth + 0.1
    if axes.experiment == "taylor":
        cells: int = (pieces(axes.dimension, axes.smoothness, axes.bits) + 1) ** axes.dimension
        return 0.1 + cells * (3e-3 if axes.smoothness == 1 else 8e-3)
    if axes.experiment == "network":
        return 0.1 + 2e-5 * axes.depth * axes.width**2
    return 0.5


@kinds.register(
    "approximation",
    axes=ApproximationAxes,
    protocol=Protocol,
    metrics=(
        L2_ERROR, SUP_ERROR, UNITS, LAYERS, WEIGHTS, BUILT_ERROR, ROUNDING, DEPARTURE, SCALE_CHANGE, RADIAL_SHARE,
        PARAMETERS, LEARNING_RATE, SCALE_CURVE, RADIAL_CURVE,
    ),
    version=1,
    repeats="seeds",
    seconds=_seconds,
    objective="log_l2_error",
)  # fmt: skip
def approximation(trials: Sequence[Trial], axes: ApproximationAxes, protocol: Protocol) -> Iterator[tuple[int, Item]]:
    """Size of built networks against their error, error of trained ones at equal parameters, and scale invariance."""
    (trial,) = trials
    if axes.experiment != "trained" and trial.cell.dtype != "float64":
        raise Unsupported(f"{axes.experiment} is about what is left by float64; say dtypes: [float64]")
    if axes.experiment in WRITTEN_DOWN and trial.cell.device != "cpu":
        raise Unsupported(f"{axes.experiment} networks are run on the CPU; say device: cpu")
    if axes.experiment == "trained":
        yield from ((0, item) for item in _trained(trial, axes))
    elif axes.experiment == "scale":
        yield from ((0, found) for found in _scaled(trial, axes.width))
    elif axes.experiment == "network":
        yield from ((0, found) for found in _random(trial, axes))
    else:
        yield from ((0, found) for found in _built(trial, axes))


def _hold(activation: Chosen, shape: tuple[int, int], trial: Trial) -> None:
    """Raises Unsupported where the activation is to be compiled and is not, for inputs of this shape."""
    import torch

    from polybench.measure.instruments.watching import hold_compiled

    hold_compiled(activation, shape[:1], shape[1], getattr(torch, trial.cell.dtype), trial.cell.device)


def _random(trial: Trial, axes: ApproximationAxes) -> Iterator[Measurement]:
    import torch

    from polybench.measure.approximation.random_network import in_fractions, random_network, rounding
    from polybench.measure.model.build import chosen

    network, x_PxD = random_network(axes.depth, axes.width, trial.seed)
    activation = chosen(trial.cell.activation, trial.cell.backend)
    found_P, plain_P = network(x_PxD, activation), network(x_PxD, chosen("relu"))
    _hold(activation, (axes.width, len(x_PxD)), trial)
    yield Measurement(ROUNDING.name, (rounding(found_P, in_fractions(network, x_PxD)),))
    yield Measurement(DEPARTURE.name, (float(torch.dist(found_P, plain_P, torch.inf)),))
    yield from _size(network)


def _built(trial: Trial, axes: ApproximationAxes) -> Iterator[Measurement]:
    from polybench.measure.approximation import products
    from polybench.measure.approximation.targets import grid
    from polybench.measure.approximation.taylor import smooth, taylor
    from polybench.measure.model.build import chosen

    activation = chosen(trial.cell.activation, trial.cell.backend)
    name = activation.spec.name
    if axes.experiment == "taylor":
        network = taylor(name, axes.dimension, axes.smoothness, axes.bits)
        x_PxD = grid(axes.dimension, PRIME_STEPS[axes.dimension])
        exact_P = smooth(x_PxD)
    elif axes.experiment == "power":
        network, x_PxD = products.power(name, axes.degree, axes.bits), grid(1, DYADIC_STEPS[1])
        exact_P = x_PxD[:, 0] ** axes.degree
    else:
        network, x_PxD = products.product(name, axes.bits), grid(2, DYADIC_STEPS[2])
        exact_P = x_PxD.prod(-1)
    yield from _size(network)
    error = float((network(x_PxD, activation) - exact_P).abs().max())
    _hold(activation, (1, len(x_PxD)), trial)
    yield Measurement(BUILT_ERROR.name, (error,))


def _size(network: Network) -> Iterator[Measurement]:
    sizes = {UNITS: network.units, LAYERS: len(network.layers), WEIGHTS: network.weights}
    return (Measurement(metric.name, (float(size),)) for metric, size in sizes.items())


def _trained(trial: Trial, axes: ApproximationAxes) -> Iterator[Item]:
    import math

    from polybench.measure.approximation.targets import grid
    from polybench.measure.approximation.trained import Fit
    from polybench.measure.model.build import chosen

    rate = trial.rate_of(axes.lr)
    activation = chosen(trial.cell.activation, trial.cell.backend)
    fit = Fit(axes, activation, rate, trial.seed, trial.cell.device, trial.cell.dtype)
    hidden = hidden_width(axes.parameters, axes.dimension, axes.depth, activation.branches)
    _hold(activation, (axes.points, activation.branches * hidden), trial)
    x_PxD = grid(axes.dimension, HELD_OUT_STEPS[axes.dimension])
    if trial.rate is not None:
        yield Measurement(LEARNING_RATE.name, (rate,))
    yield Measurement(PARAMETERS.name, (float(sum(p.numel() for p in fit.model.parameters())),))
    first, _ = fit.errors(x_PxD)
    for step, _ in enumerate(fit.steps(), start=1):
        if step % TOLD_EVERY == 0:
            yield Progress(step / axes.steps)
    l2, largest = fit.errors(x_PxD)
    if not l2 <= first:
        raise Diverged(f"the error ended at {l2:.3g}, above its start of {first:.3g}")
    # What is right to the last bit has no logarithm; it is as good as one rounding.
    yield Measurement(L2_ERROR.name, (math.log10(max(l2, 2.0**-53)),))
    yield Measurement(SUP_ERROR.name, (math.log10(max(largest, 2.0**-53)),))


def _scaled(trial: Trial, width: int) -> Iterator[Measurement]:
    import torch

    from polybench.measure.approximation.invariance import radial_share, scale_change
    from polybench.measure.model.build import chosen, generator

    activation = chosen(trial.cell.activation, trial.cell.backend)
    _hold(activation, (ROWS, activation.branches * width), trial)
    call = activation.executed(activation.module().to(trial.cell.device, torch.float64))

    def drawn(name: str, size: int) -> Tensor:
        draws = torch.randn(ROWS, size, generator=generator(trial.seed, "scale", name), dtype=torch.float64)
        return draws.to(trial.cell.device)

    x_NxGF, dy_NxF = drawn("x", activation.branches * width), drawn("dy", width)
    changes = [scale_change(call, x_NxGF, 10.0**decade) for decade in DECADES]
    radial = [radial_share(call, 10.0**decade * x_NxGF, dy_NxF) for decade in DECADES]
    yield Measurement(SCALE_CURVE.name, tuple(changes), tuple(DECADES))
    yield Measurement(RADIAL_CURVE.name, tuple(radial), tuple(DECADES))
    yield Measurement(SCALE_CHANGE.name, (max(changes),))
    yield Measurement(RADIAL_SHARE.name, (radial[DECADES.index(0)],))
