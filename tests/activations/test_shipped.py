"""What shipped models gate with: each formula written anew in float64, and beside the code of a package that has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu, softplus

from polybench.activations.gated_polynorm import GatedPolyNorm
from polybench.errors import RegistryError
from polybench.measure.model.build import activation, chosen

# Dimension key: N rows, F hidden width, G branches.

N, F = 5, 24
FEW_ULPS = 4 * torch.finfo(torch.float32).eps  # silu rounds once where gate * sigmoid(gate) rounds more often

Formula = Callable[[Tensor, Tensor], Tensor]


def normal(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)


def powers(x: Tensor) -> Tensor:
    return (normal(x) + normal(x**2) + normal(x**3)) / 3


GATED: dict[str, Formula] = {
    "swiglu_clamped": lambda g, u: g.clamp(max=7) / (1 + torch.exp(-1.702 * g.clamp(max=7))) * (u.clamp(-7, 7) + 1),
    "swiglu_clamped(preset=deepseek-v4)": lambda g, u: silu(g.clamp(max=10)) * u.clamp(-10, 10),
    "swiglu_clamped(preset=deepseek-v4, limit=3, shift=2)": lambda g, u: silu(g.clamp(max=3)) * (u.clamp(-3, 3) + 2),
    "swiglu_step": lambda g, u: silu(g).clamp(max=7) * u.clamp(-7, 7),
    "swiglu_step(limit=2)": lambda g, u: silu(g).clamp(max=2) * u.clamp(-2, 2),
    "situ_glu": lambda g, u: 4 * torch.tanh(g / 4) / (1 + torch.exp(-g)) * 25 * torch.tanh(u / 25),
    "situ_glu(beta=1, bound=2)": lambda g, u: torch.tanh(g) / (1 + torch.exp(-g)) * 2 * torch.tanh(u / 2),
    "reglu": lambda g, u: torch.where(g > 0, g * u, 0),
    "reglu2": lambda g, u: torch.where(g > 0, g * g * u, 0),
    "glu": lambda g, u: u / (1 + torch.exp(-g)),
    "bilinear": lambda g, u: g * u,
    "gated_polynorm(output_scale=0.5)": lambda g, u: powers(g) * u / 2,
    "gated_polynorm(hidden_clamp=2)": lambda g, u: powers(g.clamp(-2, 2)) * u.clamp(-2, 2),
    "gated_polynorm(bias=3, bias_clamp=0.5)": lambda g, u: (powers(g) + 0.5) * u,
    "gated_polynorm(preset=motif-3, bias=-3)": lambda g, u: (
        (3 * powers(g) / (1 + math.exp(-1 / 3)) - 0.5) / 2 * u.clamp(-1e6, 1e6)
    ),
}
PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "leaky_relu2": lambda x: torch.where(x > 0, x, x / 2) ** 2,
    "leaky_relu2(slope=0.1)": lambda x: torch.where(x > 0, x, x / 10) ** 2,
    "relu2_smooth": lambda x: x * (x + torch.hypot(x, torch.tensor(0.2, dtype=x.dtype))) / 2,
    "xielu": lambda x: torch.where(x > 0, 0.8 * x**2, 0.8 * (torch.exp(x) - 1 - x)) + x / 2,
    "xielu(positive=1, negative=2, beta=1)": lambda x: torch.where(x > 0, x**2, 2 * (torch.exp(x) - 1 - x)) + x,
    "polyprelu": lambda x: sum(torch.where(x > 0, x, x / 4) ** i for i in (1, 2, 3)) / 3,  # type: ignore[return-value]
    "polyrelunorm": lambda x: powers(x.clamp(min=0)),
    "polynorm(negative=square)": lambda x: (normal(x) + normal(x**2) + torch.where(x > 0, normal(x**3), 0)) / 3,
    "polynorm(negative=square, order=5)": lambda x: (
        powers(x) + (normal(x**4) + normal(x**5)) / 3 - torch.where(x < 0, normal(x**3) + normal(x**5), 0) / 3
    ),
}


def values(spec: str, scale: float, dtype: torch.dtype = torch.float64) -> Tensor:
    torch.manual_seed(1)
    return (torch.randn(N, chosen(spec).branches * F, dtype=torch.float64) * scale).to(dtype)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_relu2_smooth_is_right_below_zero_in_narrow_types(dtype: torch.dtype) -> None:
    x = torch.tensor([-300.0, -20.0, -2.0, -0.1, 0.0, 2.0], dtype=dtype)
    exact = activation("relu2_smooth")(x.double())
    assert (exact[:4] < 0).all()
    torch.testing.assert_close(activation("relu2_smooth")(x), exact.to(dtype), rtol=0, atol=0)


@pytest.mark.parametrize("spec", [*GATED, *PLAIN])
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_each_is_its_formula(spec: str, scale: float) -> None:
    x = values(spec, scale)
    expected = GATED[spec](x[:, :F], x[:, F:]) if spec in GATED else PLAIN[spec](x)
    torch.testing.assert_close(activation(spec).double()(x), expected, rtol=1e-6, atol=1e-6)  # starts are in float32


@pytest.mark.parametrize(
    ("ours", "model", "name", "parts"),
    [
        ("swiglu_clamped", "gpt_oss", "GptOssExperts", {"alpha": 1.702, "limit": 7.0}),
        ("swiglu_clamped(preset=deepseek-v4)", "deepseek_v4", "DeepseekV4Experts", {"act_fn": silu, "limit": 10.0}),
        ("swiglu_step", "step3p7", "Step3p7Experts", {"act_fn": silu, "limit": 7.0}),
    ],
)
def test_gates_are_those_of_transformers(ours: str, model: str, name: str, parts: dict[str, object]) -> None:
    import importlib

    theirs = getattr(importlib.import_module(f"transformers.models.{model}.modeling_{model}"), name)
    x = values(ours, 6.0, torch.float32)
    # gpt-oss has gate and value in turns, the others side by side
    packed = torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2) if model == "gpt_oss" else x
    found, expected = activation(ours)(x), theirs._apply_gate(SimpleNamespace(**parts), packed)
    assert ((found - expected).abs() <= FEW_ULPS * expected.abs()).all()


def test_xielu_is_that_of_transformers() -> None:
    from transformers.activations import XIELUActivation

    ours, theirs = activation("xielu"), XIELUActivation(dtype=torch.float32)
    theirs.load_state_dict(ours.state_dict(), strict=False)  # beta and eps are buffers there
    x = values("xielu", 3.0, torch.float32)
    torch.testing.assert_close(ours(x), theirs._xielu_python(x), rtol=1e-6, atol=1e-6)


def test_xielu_starts_where_it_is_said_and_refuses_what_it_cannot_reach() -> None:
    module = activation("xielu(negative=0.9, beta=0.25)")
    assert softplus(module.alpha_p).item() == pytest.approx(0.8)
    assert 0.25 + softplus(module.alpha_n).item() == pytest.approx(0.9)
    with pytest.raises((ValueError, RegistryError), match="above beta"):
        activation("xielu(negative=0.5)")


def test_a_preset_is_what_its_parts_say_and_parts_that_are_given_stand() -> None:
    assert vars(GatedPolyNorm(preset="motif-3"))["scale"] == 0.5
    assert GatedPolyNorm(preset="motif-3", output_scale=1.0, weight="plain", hidden_clamp=0).scale == 1.0
    x = values("gated_polynorm", 1.0)
    spelled = "gated_polynorm(weight=sigmoid, output_scale=0.5, bias_clamp=0.5, hidden_clamp=1e6)"
    assert torch.equal(activation("gated_polynorm(preset=motif-3)").double()(x), activation(spelled).double()(x))


def test_smooth_squared_relu_becomes_squared_relu() -> None:
    x = values("relu2", 1.0)
    close = activation("relu2_smooth(a=1e-6)")(x)
    torch.testing.assert_close(close, activation("relu2")(x), rtol=0, atol=1e-11)
