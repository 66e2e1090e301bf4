"""Laws over every registered activation, and the formulas of the papers written anew."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from polybench.measure.model.build import activation, chosen
from polybench.measure.model.feed_forward import FeedForward
from polybench.measure.shape import hidden_width
from polybench.registry import activations

# Dimension key: N rows, F hidden width, D model width, G branches, r order.

NAMES = activations.names()
VARIANTS = [
    *NAMES,
    "gelu(approximate=tanh)",
    *(f"{name}(order={order})" for name in ("polyrelu", "polynorm") for order in (1, 2, 4, 5)),
    "polynorm(norm=l2)",
    "gated_polynorm(order=1)",
    "gated_polynorm(order=4, norm=l2)",
    "polynorm(eps=1e-5, coefficient=0.5, bias=0.25)",
    "polyrelu(coefficient=0.5, bias=0.25)",
    "polynorm(negative=square, order=5)",
    "polyrelunorm(order=2, norm=l2)",
    "polyprelu(order=1)",
    "gated_polynorm(preset=motif-3)",
    "gated_polynorm(weight=sigmoid)",
    "gated_polynorm(bias=2, bias_clamp=0.5)",
    "gated_polynorm(hidden_clamp=1)",
    "swiglu_clamped(preset=deepseek-v4, limit=1)",
    "xielu(positive=1, negative=2, beta=1)",
]
N, F = 5, 24


def x_for(spec: str, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(N, chosen(spec).branches * F, dtype=torch.float64).to(dtype) * scale


def norm(x: torch.Tensor) -> torch.Tensor:
    """RMS normalisation as PolyCom trained it: x rsqrt(mean(x^2) + 1e-6)."""
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)


@pytest.mark.parametrize("spec", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_branches_of_width_f_become_one_of_the_same_type(spec: str, dtype: torch.dtype) -> None:
    module = activation(spec).to(dtype)
    y = module(x_for(spec, dtype).reshape(N, 1, -1))
    assert y.shape == (N, 1, F)
    assert y.dtype == dtype


@pytest.mark.parametrize("spec", VARIANTS)
def test_gradients_are_right_in_float64(spec: str) -> None:
    module = activation(spec).double()
    x = x_for(spec, torch.float64)
    x = torch.where(x.abs() < 1e-2, x + 0.1, x).requires_grad_()  # finite differences fail at a kink
    names = [name for name, _ in module.named_parameters()]

    def call(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(module, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, (x, *(p.detach().requires_grad_() for p in module.parameters())))


@pytest.mark.parametrize("spec", VARIANTS)
@pytest.mark.parametrize("scale", [0.0, 1e-3, 30.0])
def test_values_and_gradients_are_finite_in_bfloat16(spec: str, scale: float) -> None:
    module = activation(spec).bfloat16()
    x = x_for(spec, torch.bfloat16, scale).requires_grad_()
    y = module(x)
    y.float().sum().backward()
    assert torch.isfinite(y).all()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("spec", VARIANTS)
def test_autocast_takes_no_part_of_it_in_bfloat16(spec: str) -> None:
    module, x = activation(spec), x_for(spec)
    plain = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = module(x)
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


class Operators(TorchDispatchMode):
    """Which operators are given which types of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[str, torch.dtype]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen |= {(func.overloadpacket.__name__, a.dtype) for a in args if isinstance(a, torch.Tensor)}
        return func(*args, **(kwargs or {}))


OURS = [spec for spec in VARIANTS if activations.entry(spec.partition("(")[0]).origin.startswith("polybench/")]


@pytest.mark.parametrize("spec", OURS)
def test_no_operator_that_autocast_widens_on_a_gpu_is_given_bfloat16(spec: str) -> None:
    with Operators() as operators:
        activation(spec)(x_for(spec, torch.bfloat16))
    widened = {"pow", "exp", "expm1", "log", "log1p", "rsqrt", "reciprocal", "softplus", "sum", "norm", "prod", "cosh"}
    assert not {name for name, dtype in operators.seen if dtype == torch.bfloat16} & widened


@pytest.mark.parametrize("spec", VARIANTS)
def test_the_input_is_left_as_it_was(spec: str) -> None:
    x = x_for(spec)
    before = x.clone()
    y = activation(spec)(x)
    assert torch.equal(x, before)
    assert y.untyped_storage().data_ptr() != x.untyped_storage().data_ptr()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("d_model", [40, 64, 96, 128, 320, 512, 1000])
def test_blocks_have_equal_parameters_within_one_percent(name: str, d_model: int) -> None:
    count = sum(p.numel() for p in FeedForward(d_model, chosen(name)).parameters())
    assert abs(count / (8 * d_model**2) - 1) <= 0.01


@pytest.mark.parametrize("name", NAMES)
def test_a_source_is_cited_and_a_summary_given(name: str) -> None:
    entry = activations.entry(name)
    assert entry.facts["source"]
    assert entry.summary


def test_hidden_width_is_four_d_or_eight_thirds_d() -> None:
    assert hidden_width(1024, 1) == 4096
    assert abs(hidden_width(1024, 2) - 8 / 3 * 1024) <= 4


def test_polynorm_is_the_authors_formula_and_initial_state() -> None:
    module = activation("polynorm").double()
    assert module.weight.tolist() == pytest.approx([1 / 3] * 3)
    assert module.bias.tolist() == [0.0]
    x = x_for("polynorm", torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.5, -0.2, 0.7]))
        module.bias.fill_(0.3)
    expected = 0.5 * norm(x**3) - 0.2 * norm(x**2) + 0.7 * norm(x) + 0.3
    torch.testing.assert_close(module(x), expected, rtol=1e-7, atol=1e-7)


def test_polynorm_with_l2_is_the_papers_formula() -> None:
    module = activation("polynorm", norm="l2", eps=0.0).double()
    x = x_for("polynorm", torch.float64)
    expected = sum(x**i / torch.linalg.vector_norm(x**i, dim=-1, keepdim=True) for i in (1, 2, 3)) / 3
    torch.testing.assert_close(module(x), expected, rtol=1e-6, atol=1e-7)


def test_polynorm_rms_is_l2_times_root_f() -> None:
    x = x_for("polynorm", torch.float64)
    rms, l2 = (activation("polynorm", norm=n, eps=0.0).double()(x) for n in ("rms", "l2"))
    torch.testing.assert_close(rms, l2 * math.sqrt(F))


def test_polyrelu_is_the_authors_formula_and_initial_state() -> None:
    module = activation("polyrelu").double()
    assert module.weight.tolist() == pytest.approx([1 / 3] * 3)
    assert module.bias.tolist() == [0.0]
    with torch.no_grad():
        module.weight.copy_(torch.tensor([0.5, -0.2, 0.7]))
        module.bias.fill_(0.3)
    x = x_for("polyrelu", torch.float64)
    y = x.clamp(min=0)
    torch.testing.assert_close(module(x), 0.5 * y**3 - 0.2 * y**2 + 0.7 * y + 0.3, rtol=1e-6, atol=1e-7)


def test_official_checkpoints_load_by_name_and_shape() -> None:
    """PolyCom saves weight (3,), cubic first, and bias (1,)."""
    for name in ("polynorm", "polyrelu"):
        activation(name).load_state_dict({"weight": torch.tensor([0.1, 0.2, 0.3]), "bias": torch.tensor([0.4])})


def test_swiglu_is_swish_of_the_gate_times_the_value() -> None:
    x = x_for("swiglu", torch.float64)
    gate, value = x[:, :F], x[:, F:]
    torch.testing.assert_close(activation("swiglu")(x), gate * torch.sigmoid(gate) * value)


def test_gated_polynorm_is_polynorm_of_the_gate_times_the_value() -> None:
    """The formula of the Motif models: down(PolyNorm(gate) * up)."""
    x = x_for("gated_polynorm", torch.float64)
    gate, value = x[:, :F], x[:, F:]
    expected = (norm(gate**3) + norm(gate**2) + norm(gate)) / 3 * value
    torch.testing.assert_close(activation("gated_polynorm").double()(x), expected, rtol=1e-6, atol=1e-7)


def test_relu2_and_gelu_are_their_definitions() -> None:
    x = x_for("relu2", torch.float64)
    torch.testing.assert_close(activation("relu2")(x), torch.where(x > 0, x * x, 0.0))
    phi = 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    torch.testing.assert_close(activation("gelu")(x), x * phi)


def test_powers_are_taken_in_float32() -> None:
    """x^6 of 10 overflows float16; the result of 10 itself does not."""
    x = torch.full((1, 8), 10.0, dtype=torch.float16)
    assert torch.isfinite(activation("polynorm")(x)).all()
    assert activation("polynorm")(x)[0, 0].item() == pytest.approx(1.0, rel=2e-3)
