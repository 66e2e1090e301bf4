"""The kind approximation: trained networks, scale invariance, and its suite in a shrunken form."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from builders import cell
from commands import ROOT
from pydantic import ValidationError

from polybench.measure.approximation.invariance import radial_share, scale_change
from polybench.measure.approximation.targets import TARGETS, grid
from polybench.measure.approximation.trained import Fit, Regressor
from polybench.measure.approximation_axes import CONSTRUCTED, EQUAL, ApproximationAxes, hidden_width, parameters_of
from polybench.measure.kinds.approximation import (
    BUILT_ERROR,
    DEPARTURE,
    L2_ERROR,
    LEARNING_RATE,
    RADIAL_SHARE,
    ROUNDING,
    SCALE_CHANGE,
    SUP_ERROR,
    UNITS,
)
from polybench.measure.model.build import chosen
from polybench.measure.worker import messages_of
from polybench.message import Ending
from polybench.plan.check import load_suite
from polybench.plan.jobs import plan
from polybench.record import Measurement, Status
from polybench.registry import activations
from polybench.trial import Job, Trial

QUICK = {"experiment": "trained", "parameters": 120, "points": 32}
NAMES = [n for n, e in activations.entries().items() if e.origin.startswith("polybench/")]


def said(activation: str, dtype: str = "float64", seed: int = 0, rate: float | None = None, **axes: Any) -> list[Any]:
    device = axes.pop("device", "cpu")
    of = replace(cell("approximation", activation, dtype=dtype, **axes), device=device)
    trial = Trial("theory", of, seed, rate=rate)
    return [message.item for message in messages_of(Job((trial,), ()))]


def measured(items: list[Any]) -> dict[str, tuple[float, ...]]:
    return {m.metric: m.values for m in items if isinstance(m, Measurement)}


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_is_trained_and_scaled(name: str) -> None:
    found = measured(said(name, target="quadratic", steps=12, rate=0.02, **QUICK, lr="tuned"))
    assert {L2_ERROR.name, SUP_ERROR.name, "parameters"} <= set(found)
    assert found[LEARNING_RATE.name] == (0.02,)
    scaled = measured(said(name, experiment="scale", width=16))
    assert set(map(math.isfinite, scaled[SCALE_CHANGE.name] + scaled[RADIAL_SHARE.name])) == {True}


@pytest.mark.parametrize("branches", [1, 2])
@pytest.mark.parametrize(("dimension", "depth"), [(1, 1), (1, 2), (2, 3)])
def test_parameters_are_counted_in_closed_form(branches: int, dimension: int, depth: int) -> None:
    name = {1: "relu", 2: "reglu"}[branches]
    axes = ApproximationAxes(parameters=2000, dimension=dimension, depth=depth)
    width = hidden_width(2000, dimension, depth, branches)
    count = sum(p.numel() for p in Regressor(axes, chosen(name)).parameters())
    assert count == parameters_of(width, dimension, depth, branches)
    near = (abs(parameters_of(w, dimension, depth, branches) - 2000) for w in (width - 1, width + 1))
    assert abs(count - 2000) <= min(near)
    assert not axes.unequal({1, 2}) and abs(count - 2000) <= EQUAL * 2000


def test_unequal_numbers_of_parameters_are_refused() -> None:
    assert "286 (1 branch) and 320 (2 branches)" in ApproximationAxes(parameters=300).unequal({1, 2})
    assert not ApproximationAxes(parameters=300).unequal({1})
    assert not ApproximationAxes(parameters=300, experiment="scale").unequal({1, 2})


def test_targets_are_the_functions_that_they_say() -> None:
    x_PxD = torch.tensor([[0.0], [0.2], [-0.25]], dtype=torch.float64)
    assert TARGETS["runge"](x_PxD).tolist() == pytest.approx([1, 0.5, 1 / 2.5625])
    assert TARGETS["cusp"](x_PxD).tolist() == pytest.approx([0, 0.2**1.5, 0.125])
    assert TARGETS["quadratic"](x_PxD).tolist() == pytest.approx([0, 0.04, 0.0625])
    assert TARGETS["sines"](x_PxD)[0].item() == pytest.approx(math.sin(1) / 2 + math.sin(2) / 4)
    assert TARGETS["quadratic"](torch.tensor([[3.0, -2.0]])).tolist() == [-6]
    assert grid(2, 2).tolist() == [[x, y] for x in (-1, 0, 1) for y in (-1, 0, 1)]


def test_errors_are_relative_to_the_function() -> None:
    """A network that is 0 has an error of 1 in both norms; one that is twice the function too."""
    fit = Fit(ApproximationAxes(target="runge", parameters=120), chosen("relu"), 0.01, 0, "cpu", "float64")
    with torch.no_grad():
        fit.model.out.weight.zero_()
        fit.model.out.bias.zero_()
    assert fit.errors(grid(1, 100)) == pytest.approx((1, 1))


def test_a_training_learns_and_is_the_same_again() -> None:
    axes = {**QUICK, "target": "cusp", "lr": 0.02}
    short, long, again = (measured(said("relu", steps=steps, **axes)) for steps in (1, 120, 120))
    assert long == again
    assert long[L2_ERROR.name][0] < short[L2_ERROR.name][0] - 0.3
    assert measured(said("relu", seed=1, steps=120, **axes)) != long


def test_the_same_seed_draws_the_same_points_and_first_weights_for_all() -> None:
    axes = ApproximationAxes(parameters=120)
    a, b = (Fit(axes, chosen(name), 0.01, 3, "cpu", "float64") for name in ("relu", "polynorm"))
    assert torch.equal(a._x_PxD, b._x_PxD)
    assert all(torch.equal(p, dict(b.model.named_parameters())[name]) for name, p in a.model.named_parameters())


def test_the_rate_rises_and_falls_to_nothing() -> None:
    fit = Fit(ApproximationAxes(parameters=120, steps=100), chosen("relu"), 0.01, 0, "cpu", "float64")
    rates = [fit._optimizer.param_groups[0]["lr"] / 0.01 for _ in fit.steps()]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize(
    ("activation", "dtype", "axes", "status", "words"),
    [
        ("relu2", "float64", {**QUICK, "lr": 1e8, "steps": 30}, Status.DIVERGED, "the (error ended|loss became)"),
        ("relu", "float64", {**QUICK, "lr": "tuned"}, Status.FAILED, "lr tuned: no learning rate that was tried"),
        ("relu", "float32", {"experiment": "power"}, Status.UNSUPPORTED, r"say dtypes: \[float64\]"),
        ("relu", "float64", {"experiment": "taylor", "device": "cuda"}, Status.UNSUPPORTED, "say device: cpu"),
        ("gelu", "float64", {"experiment": "product"}, Status.UNSUPPORTED, "no construction is known here in gelu"),
        ("gelu", "float64", {"experiment": "network", "width": 2}, Status.UNSUPPORTED, "gelu cannot be"),
        ("polyrelu(order=1)", "float64", {"experiment": "power"}, Status.UNSUPPORTED, r"a = \(0, 0, 1\)"),
    ],
)
def test_what_cannot_be_is_a_record(
    activation: str, dtype: str, axes: dict[str, Any], status: Status, words: str
) -> None:
    ending = said(activation, dtype, **axes)[-1]
    assert isinstance(ending, Ending)
    assert ending.status is status
    assert re.search(words, ending.error)


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"experiment": "power", "bits": 25}, r"bits 25: the grid of power shows no error below 2\^-24"),
        ({"experiment": "product", "bits": 17}, r"no error below 2\^-16"),
        (
            {"experiment": "taylor", "dimension": 2, "bits": 6},
            "bits 6 take 66,049 pieces, and more than 8,192 take minutes",
        ),
        ({"experiment": "power", "degree": 5}, "Input should be 2, 3, 4, 6, 8 or 9"),
    ],
)
def test_what_could_not_be_told_is_refused(axes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ApproximationAxes(**axes)


def test_the_axes_of_other_experiments_make_no_other_cell() -> None:
    assert ApproximationAxes(experiment="product", bits=4, width=7).deciding() == {"experiment": "product", "bits": 4}


def test_polynorm_without_eps_does_not_see_a_scale() -> None:
    """To the bit for powers of two, which round nothing; with an eps, what is left is what the formula says."""
    x_NxF, dy_NxF = (
        torch.randn(8, 32, generator=torch.Generator().manual_seed(i), dtype=torch.float64) for i in (1, 2)
    )
    blind = chosen("polynorm(eps=0)").module().double()
    assert [scale_change(blind, x_NxF, 2.0**k) for k in (-20, -1, 3, 20)] == [0] * 4
    assert scale_change(blind, x_NxF, 0.1) <= 1e-15
    assert radial_share(blind, x_NxF, dy_NxF) <= 1e-15
    assert radial_share(chosen("relu").module(), x_NxF, dy_NxF) > 1e-3
    x_NxF[0] = -x_NxF[0].abs()  # of which relu has no gradient
    assert radial_share(chosen("relu").module(), x_NxF, dy_NxF) > 1e-3
    x_NxF[0, 0] = float("nan")
    assert math.isnan(radial_share(chosen("relu").module(), x_NxF, dy_NxF))
    x_NxF[0, 0] = 1.0

    # d f(s x) / ds at s = 1 is the sum of i a_i u_i eps / (mean(x^2i) + eps), u_i being the normalised powers.
    eps = 0.01
    seeing = chosen(f"polynorm(eps={eps})").module().double()
    along_NxF = torch.zeros_like(x_NxF)
    for i, a in enumerate(seeing.weight.flip(0), start=1):
        mean_Nx1 = x_NxF.pow(2 * i).mean(-1, keepdim=True)
        along_NxF += i * a * x_NxF**i * (mean_Nx1 + eps).rsqrt() * eps / (mean_Nx1 + eps)
    x_NxF.requires_grad_()
    (dx_NxF,) = torch.autograd.grad(seeing(x_NxF), x_NxF, dy_NxF)
    wanted_N = (along_NxF * dy_NxF).sum(-1)
    assert (x_NxF * dx_NxF).sum(-1).tolist() == pytest.approx(wanted_N.tolist(), rel=1e-9)
    shares_N = wanted_N.abs() / (x_NxF.norm(dim=-1) * dx_NxF.norm(dim=-1))
    assert radial_share(seeing, x_NxF, dy_NxF) == pytest.approx(shares_N.max().item(), rel=1e-9)


def shrunken() -> Iterator[Trial]:
    """The suite of the theory with the largest errors and the smallest networks alone."""
    few = [
        "seeds=[0]", "relu-networks.seeds=[0]", "scale.seeds=[0]", "relu-networks.matrix.depth=2",
        "relu-networks.matrix.width=8", "powers.matrix.bits=[4,8,12]", "products.matrix.bits=4",
        "trained.matrix.steps=20", "trained.matrix.target=quadratic", "trained.matrix.parameters=120",
        "trained.matrix.points=32",
        "trained.activations=[relu,polyrelu,polynorm,swiglu]", "scale.matrix.width=16",
        *(f"taylor-d{d}-n{n}.matrix.bits={bits}" for d, n, bits in
          [(1, 1, 2), (1, 2, 6), (1, 3, 8), (2, 1, 1), (2, 2, 2), (2, 3, 3)]),
    ]  # fmt: skip
    suite = load_suite(ROOT / "suites/paper/theory.yaml", few, "cpu").suite
    for job in plan(suite, "cpu").jobs:
        yield from job.trials


def test_the_suite_of_the_theory_runs_when_shrunken() -> None:
    """Every construction keeps the error that it promises; what is exact in PolyReLU is as large for each."""
    powers: dict[tuple[str, object], list[float]] = {}
    for trial in shrunken():
        items = [message.item for message in messages_of(Job((trial,), ()))]
        assert not [item for item in items if isinstance(item, Ending)], trial.label
        found, axes = measured(items), dict(trial.cell.axes)
        if axes["experiment"] in CONSTRUCTED:
            assert found[BUILT_ERROR.name][0] <= 2.0 ** -int(axes["bits"])
        if trial.benchmark == "powers":
            powers.setdefault((trial.cell.activation, axes["degree"]), []).extend(found[UNITS.name])
        if axes["experiment"] == "network":
            assert found[DEPARTURE.name] == (0,) and found[ROUNDING.name][0] < 1e-14
    assert powers["polyrelu", 2] == [2, 2, 2]
    assert powers["relu", 2] == [4, 10, 16]
