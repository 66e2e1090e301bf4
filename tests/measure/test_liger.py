"""What liger serves, what it refuses and why, and how parameters reach its kernels."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
import torch

from polybench.errors import Unsupported
from polybench.measure.backends.liger import liger, mapped, refusal
from polybench.measure.model.build import activation, chosen
from polybench.registry import activations

# Dimension key: B batch, T time, F hidden width.

SERVED = ["polynorm", "polynorm(eps=1e-3, bias=0.25)", "swiglu", "geglu(approximate=tanh)", "relu2"]
B, T, F = 2, 3, 8


class LigerPolyNormFunction(torch.autograd.Function):
    """As liger-kernel 0.8.5: weight cubic first, a bias of no dimension, its gradient likewise."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, eps: float, in_place: bool
    ) -> torch.Tensor:
        assert w.shape == (3,)
        assert b.shape == ()
        ctx.save_for_backward(x, w, b)
        ctx.eps, ctx.in_place = eps, in_place
        return _polynorm(x, w, b, eps)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        saved = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        with torch.enable_grad():
            gradients = torch.autograd.grad(_polynorm(*saved, ctx.eps), saved, dy)
        if ctx.in_place:
            dy.copy_(gradients[0])
        return *gradients, None, None


class LigerFusedGateUpSiLUMulFunction(torch.autograd.Function):
    """As liger-kernel 0.8.5: the gradient is a matrix, whatever the input was."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, in_place: bool) -> torch.Tensor:
        assert not in_place
        ctx.save_for_backward(x)
        return _gated(x, torch.nn.functional.silu)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        (x,) = ctx.saved_tensors
        x = x.detach().reshape(-1, x.shape[-1]).requires_grad_()
        with torch.enable_grad():
            y = _gated(x, torch.nn.functional.silu)
        return torch.autograd.grad(y, x, dy.reshape(y.shape))[0], None


class LigerGELUMulFunction(torch.autograd.Function):
    """As liger-kernel 0.8.5: tanh, and gradients written over what it saved."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        a, b = a.contiguous(), b.contiguous()
        ctx.save_for_backward(a, b)
        return torch.nn.functional.gelu(a, approximate="tanh") * b

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> Any:
        a, b = ctx.saved_tensors
        saved = [a.detach().clone().requires_grad_(), b.detach().clone().requires_grad_()]
        with torch.enable_grad():
            y = torch.nn.functional.gelu(saved[0], approximate="tanh") * saved[1]
        for place, gradient in zip((a, b), torch.autograd.grad(y, saved, dy), strict=True):
            place.data.copy_(gradient)
        return a, b


class LigerReLUSquaredFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return torch.relu(x).square()

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return dy * 2 * torch.relu(x)


def _polynorm(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, eps: float) -> torch.Tensor:
    powers = (u * torch.rsqrt((u * u).mean(-1, keepdim=True) + eps) for u in (x**3, x**2, x))
    return sum(weight * u for weight, u in zip(w, powers, strict=True)) + b  # type: ignore[return-value]


def _gated(x: torch.Tensor, gate: Any) -> torch.Tensor:
    a, b = x.chunk(2, -1)
    return gate(a) * b  # type: ignore[no-any-return]


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """liger_kernel.ops with torch's operators in place of Triton's kernels."""
    for name, function in {
        "poly_norm": LigerPolyNormFunction,
        "swiglu": LigerFusedGateUpSiLUMulFunction,
        "geglu": LigerGELUMulFunction,
        "relu_squared": LigerReLUSquaredFunction,
    }.items():
        module = ModuleType(f"liger_kernel.ops.{name}")
        setattr(module, function.__name__, function)
        for path in ("liger_kernel", "liger_kernel.ops"):
            monkeypatch.setitem(sys.modules, path, ModuleType(path))
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("spec", SERVED)
@pytest.mark.parametrize("leading", [(), (1,), (B, T)], ids=str)
def test_outputs_and_gradients_agree_and_nothing_is_overwritten(spec: str, leading: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = activation(spec)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.randn_like(parameter)
    x, dy = torch.randn(*leading, chosen(spec).branches * F, requires_grad=True), torch.randn(*leading, F)
    kept = x.detach().clone(), dy.clone()
    results = []
    for run in (module, mapped(module)):
        y = run(x)
        assert y.shape == dy.shape
        results.append([y.detach(), *torch.autograd.grad(y, (x, *module.parameters()), dy)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs, ours)
    assert torch.equal(x, kept[0])
    assert torch.equal(dy, kept[1])


@pytest.mark.usefixtures("package")
def test_what_the_kernels_cannot_hold_is_refused() -> None:
    run = mapped(activation("relu2"))
    with pytest.raises(Unsupported, match="float64"):
        run(torch.ones(2, 2, dtype=torch.float64))
    with pytest.raises(Unsupported, match="65536"):
        run(torch.ones(1, 65537))
    assert mapped(activation("swiglu"))(torch.ones(1, 2 * 65536)).shape == (1, 65536)


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("polynorm(order=2)", "order 2"),
        ("polynorm(norm=l2)", "l2"),
        ("polynorm(negative=square)", "both sides"),
        ("geglu", "tanh"),
        ("gelu", "GELU"),
        ("relu", "ReLU"),
    ],
)
def test_options_without_a_kernel_are_refused_in_a_sentence(spec: str, word: str) -> None:
    with pytest.raises(Unsupported, match=word):
        liger(activation(spec))


def test_every_activation_is_served_or_refused() -> None:
    served = {name for name in activations.names() if not refusal(activation(name))}
    assert served == {"polynorm", "swiglu", "relu2"}  # geglu is served with approximate=tanh


def test_without_a_gpu_or_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Unsupported, match="GPU"):
        liger(activation("relu2"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in [n for n in sys.modules if n.startswith("liger_kernel.")]:
        monkeypatch.delitem(sys.modules, name)  # of the package itself, where it is installed
    monkeypatch.setitem(sys.modules, "liger_kernel", None)  # an import of it fails
    with pytest.raises(Unsupported, match="not installed"):
        liger(activation("relu2"))


@pytest.mark.usefixtures("package")
def test_an_input_on_the_cpu_is_refused_beside_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(Unsupported, match="on the CPU"):
        liger(activation("relu2"))(torch.ones(2, F))
