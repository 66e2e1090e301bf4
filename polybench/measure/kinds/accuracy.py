"""accuracy: how far outputs and gradients are from float64, over the scale of the input and the length of a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field, PositiveInt

from polybench.kind import Axes, Item, Note, Progress, Protocol
from polybench.metric import Metric
from polybench.record import Measurement
from polybench.registry import kinds
from polybench.trial import Trial

ELEMENTS = 2**17  # of the output at every width: enough for the tails of N(0, 1) up to 4.5
DECADES = range(-4, 5)  # log10 of the scales of the input
# u of each type: the largest relative error of rounding to nearest (IEEE 754; bfloat16 has 8 bits).
ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
LARGEST = {
    dtype: (2 - 2 * ROUNDOFF[dtype]) * 2.0**emax  # finite number, by IEEE 754; bfloat16 has float32's exponents
    for dtype, emax in {"float16": 15, "bfloat16": 127, "float32": 127, "float64": 1023}.items()
}
EXACT = "float64"  # the type that others are judged by
SOUND = 8  # unit roundoffs; one rounding makes one at most, a dozen in a row about three, eight are three bits lost


class AccuracyAxes(Axes):
    """How long a row is; there are as many rows as make 2^17 values."""

    width: PositiveInt = Field(4096, le=ELEMENTS, description="length of a row of the output")


_SCALES = "the input is 10^-4 to 10^4 times N(0, 1), a value a decade"
_NORM = "|error| / |exact| in the Euclidean norm, exact being float64 of the same values; infinite if one is not finite"
FORWARD = Metric("forward_error", "1", "lower", "seed", f"Error of the output at scale 1: {_NORM}.")
GRADIENT = Metric("gradient_error", "1", "lower", "seed", f"Error of the gradient to the input at scale 1: {_NORM}.")
PARAMETER = Metric(
    "parameter_error", "1", "lower", "seed", f"Error of the gradients to all parameters at scale 1: {_NORM}."
)
FORWARD_ULP = Metric(
    "forward_ulp", "ULP", "lower", "seed",
    "Median distance of an output from the exact one at scale 1, where that is not 0, in units of the last place.",
)  # fmt: skip
FORWARD_WORST = Metric("forward_ulp_worst", "ULP", "lower", "seed", "The largest such distance of an output.")
GRADIENT_ULP = Metric(
    "gradient_ulp", "ULP", "lower", "seed",
    "Median distance of a gradient to the input from the exact one at scale 1, where that is not 0, in units of the "
    "last place.",
)  # fmt: skip
GRADIENT_WORST = Metric("gradient_ulp_worst", "ULP", "lower", "seed", "The largest such distance of a gradient.")
SOUND_FROM = Metric(
    "sound_from", "1", "lower", "seed",
    "Least scale of the input down to which, from 1, everything is finite and output and gradient to the input have "
    f"an error of at most {SOUND} unit roundoffs u; gradients to parameters, sums of n = 2^17 terms that cancel, of "
    f"{SOUND} u or {SOUND} sqrt(n) u of the type that adds them.",
)  # fmt: skip
SOUND_TO = Metric("sound_to", "1", "higher", "seed", "Largest scale of the input up to which, from 1, all is sound.")
LARGEST_INPUT = Metric(
    "largest_input", "1", "higher", "nothing",
    "Largest number of the type such that, from 1 up to it, one value of a row may be as large, positive or negative "
    "and in every branch, the others being 0: output and gradients to input and parameters are finite for an upstream "
    "gradient of 1, and the output there is within an eighth of float64's; 0 where not even 1 does. By bisection; "
    "float64 has none.",
    hidden=True,
)  # fmt: skip
FORWARD_CURVE = Metric(
    "forward_error_curve", "1", "lower", "seed", f"Error of the output where {_SCALES}: {_NORM}.", curve=True
)
GRADIENT_CURVE = Metric(
    "gradient_error_curve", "1", "lower", "seed", f"Error of the gradient to the input where {_SCALES}: {_NORM}.",
    curve=True,
)  # fmt: skip
PARAMETER_CURVE = Metric(
    "parameter_error_curve", "1", "lower", "seed",
    f"Error of the gradients to all parameters where {_SCALES}: {_NORM}.", curve=True,
)  # fmt: skip
FORWARD_ULP_CURVE = Metric(
    "forward_ulp_curve", "ULP", "lower", "seed", f"Median distance of an output in ULP where {_SCALES}.", curve=True
)
GRADIENT_ULP_CURVE = Metric(
    "gradient_ulp_curve", "ULP", "lower", "seed",
    f"Median distance of a gradient to the input in ULP where {_SCALES}.", curve=True,
)  # fmt: skip
NOT_FINITE = Metric(
    "not_finite_curve", "1", "lower", "seed",
    f"Share of outputs and gradients that are NaN or infinite although float64's are not, where {_SCALES}.",
    curve=True,
)  # fmt: skip


def _seconds(axes: AccuracyAxes, protocol: Protocol) -> float:
    """The mean over suites/accuracy.yaml on two EPYC cores, whatever the width: 0.2 s eager, 0.5 s compiled."""
    return 0.35


@kinds.register(
    "accuracy",
    axes=AccuracyAxes,
    protocol=Protocol,
    metrics=(
        FORWARD_ULP, FORWARD_WORST, FORWARD, GRADIENT_ULP, GRADIENT_WORST, GRADIENT, PARAMETER, SOUND_FROM, SOUND_TO,
        LARGEST_INPUT,
        FORWARD_CURVE, GRADIENT_CURVE, PARAMETER_CURVE, FORWARD_ULP_CURVE, GRADIENT_ULP_CURVE, NOT_FINITE,
    ),
    version=1,
    repeats="seeds",
    seconds=_seconds,
)  # fmt: skip
def accuracy(trials: Sequence[Trial], axes: AccuracyAxes, protocol: Protocol) -> Iterator[tuple[int, Item]]:
    """Error of outputs and gradients against float64, over input scales and row lengths, from random data."""
    import copy
    import math

    import torch

    from polybench.measure.instruments.edge import Outlier, edge
    from polybench.measure.instruments.precision import forward_backward, middle, not_finite, relative_error, ulps
    from polybench.measure.instruments.watching import ran_alone
    from polybench.measure.model.build import Executed, chosen, generator

    # Dimension key: N rows, F hidden width, G branches.
    cell, seed = trials[0].cell, trials[0].seed
    dtype: torch.dtype = getattr(torch, cell.dtype)
    activation = chosen(cell.activation, cell.backend)
    module = activation.module().to(cell.device, dtype)
    call, exactly = activation.executed(module), copy.deepcopy(module).double()
    N, F, most = max(1, ELEMENTS // axes.width), axes.width, torch.finfo(dtype).max
    if activation.compiles:
        ran_alone(Executed(module, call, activation.branches * F), (N,), dtype, cell.device).held_to_be_compiled()

    def drawn(name: str, width: int) -> torch.Tensor:
        draws = torch.randn(N, width, generator=generator(seed, "accuracy", name), dtype=torch.float64)
        return draws.to(cell.device)

    x_NxGF, dy_NxF = drawn("x", activation.branches * F), drawn("dy", F).to(dtype)
    curves: dict[Metric, list[float]] = {}
    worst: dict[Metric, float] = {}
    for done, decade in enumerate(DECADES, start=1):
        scaled_NxGF = (10.0**decade * x_NxGF).clamp(-most, most).to(dtype)
        found = forward_backward(call, module.parameters(), scaled_NxGF, dy_NxF)
        exact = forward_backward(exactly, exactly.parameters(), scaled_NxGF.double(), dy_NxF.double())
        lost = sum(not_finite(f, e) for f, e in zip(found, exact, strict=True))
        y_ulps, dx_ulps = (ulps(f, e) for f, e in zip(found[:2], exact[:2], strict=True))
        here = {
            FORWARD_CURVE: relative_error(found[:1], exact[:1]),
            GRADIENT_CURVE: relative_error(found[1:2], exact[1:2]),
            **({PARAMETER_CURVE: relative_error(found[2:], exact[2:])} if found[2:] else {}),
            FORWARD_ULP_CURVE: middle(y_ulps, exact[0]),
            GRADIENT_ULP_CURVE: middle(dx_ulps, exact[1]),
            NOT_FINITE: lost / sum(f.numel() for f in found),
        }
        for metric, value in here.items():
            curves.setdefault(metric, []).append(value)
        if decade == 0:
            worst = {FORWARD_WORST: float(y_ulps.max()), GRADIENT_WORST: float(dx_ulps.max())}
        yield 0, Progress(done / len(DECADES))

    for metric, values in curves.items():
        yield 0, Measurement(metric.name, tuple(values), tuple(DECADES))
    for metric, value in (worst | at_one(curves) | sound(curves, cell.dtype)).items():
        if math.isfinite(value):  # what is not finite at scale 1 has no such number; the curves say so
            yield 0, Measurement(metric.name, (value,))
    if cell.dtype == EXACT:
        return
    # Compiled code is asked in the shape that it was compiled for.
    rows, parameters = N if activation.compiles else 1, tuple(module.parameters())
    outlier = Outlier(call, exactly, parameters, activation.branches, F, rows, dtype, cell.device)
    found_edge = edge(outlier.survives, dtype)
    yield 0, Measurement(LARGEST_INPUT.name, (found_edge.largest if found_edge else 0.0,))
    if found_edge and found_edge.again:
        yield 0, Note(f"beyond {found_edge.largest:g} it survives again at {found_edge.again:g}")


Curves = Mapping[Metric, Sequence[float]]


def at_one(curves: Curves) -> dict[Metric, float]:
    """The scalars that are a curve's value at scale 1."""
    pairs = {
        FORWARD: FORWARD_CURVE, GRADIENT: GRADIENT_CURVE, PARAMETER: PARAMETER_CURVE,
        FORWARD_ULP: FORWARD_ULP_CURVE, GRADIENT_ULP: GRADIENT_ULP_CURVE,
    }  # fmt: skip
    return {scalar: curves[curve][DECADES.index(0)] for scalar, curve in pairs.items() if curve in curves}


def sound(curves: Curves, dtype: str) -> dict[Metric, float]:
    """From which to which scale, without a gap around 1, all is finite and no error above its limit; {} if nowhere."""
    single = SOUND * ROUNDOFF[dtype]
    # Sums are accumulated in float32 at least; their error grows as sqrt(n), as rounding.disturbed has it.
    summed = max(single, SOUND * ELEMENTS**0.5 * min(ROUNDOFF[dtype], ROUNDOFF["float32"]))
    limits = {FORWARD_CURVE: single, GRADIENT_CURVE: single, PARAMETER_CURVE: summed}
    judged = [[value <= limit for value in curves[m]] for m, limit in limits.items() if m in curves]
    good = [all(at_scale) for at_scale in zip(*judged, strict=True)]
    low = high = DECADES.index(0)
    if not good[low]:
        return {}
    while low > 0 and good[low - 1]:
        low -= 1
    while high + 1 < len(good) and good[high + 1]:
        high += 1
    return {SOUND_FROM: 10.0 ** DECADES[low], SOUND_TO: 10.0 ** DECADES[high]}
