"""What is timed is held to float64: everything registered passes, every planted mistake is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polybench.errors import Unsupported, Wrong
from polybench.measure.instruments.correct import verify
from polybench.measure.instruments.watching import ran_alone
from polybench.measure.model.build import Executed, activation, chosen
from polybench.measure.worker import explain
from polybench.registry import activations, backends

# Dimension key: N rows, F hidden width, G branches.

N, F = 32, 48
DTYPES = ("float32", "bfloat16", "float16", "float64")
WIDTHS = (1, 37, 65536)  # no vector of the processor is as short, or divides the second
SPECS = [*activations.names(), "gelu(approximate=tanh)", "polynorm(norm=l2)"]
# A cell costs seconds of the C++ compiler: every activation once, over the types, widths and backends in turn.
INDUCTOR = [b for b in backends.names() if "TorchInductor" in backends.entry(b).facts["source"]]
EAGER = [b for b in backends.names() if b not in INDUCTOR]
Call = Callable[[Tensor], Tensor]


def check(module: nn.Module, call: Call | None = None, dtype: str = "float32", rows: int = N, width: int = F) -> None:
    kind = getattr(torch, dtype)
    verify(Executed(module.to(kind), module if call is None else call, width), rows, kind, "cpu", 7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", EAGER)
@pytest.mark.parametrize("spec", SPECS)
def test_everything_registered_is_right(spec: str, backend: str, dtype: str) -> None:
    """Each activation meets every pair of backend, type and width; every fused one all shapes in tests/kernels."""
    width = WIDTHS[(EAGER.index(backend) + DTYPES.index(dtype)) % len(WIDTHS)]
    choice = chosen(spec, backend)
    module = choice.module()
    try:
        check(module, choice.executed(module), dtype, max(1, 2**13 // width), choice.branches * width)
    except Unsupported as reason:
        assert str(reason)


@pytest.mark.filterwarnings("ignore")  # what the compiler warns about is not ours
@pytest.mark.parametrize("place", range(len(SPECS)), ids=SPECS)
def test_compiled_code_is_right_in_one_frame_and_not_compiled_again(place: int) -> None:
    spec, dtype, width = SPECS[place], DTYPES[place % len(DTYPES)], WIDTHS[place % len(WIDTHS)]
    backend = INDUCTOR[place // len(DTYPES) % len(INDUCTOR)]
    module, kind, rows = activation(spec).to(getattr(torch, dtype)), getattr(torch, dtype), max(1, 2**13 // width)
    compilations = torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    try:
        call = chosen(spec, backend).executed(module)
        x = torch.randn(rows, chosen(spec).branches * width).to(kind).requires_grad_()
        torch.autograd.grad(call(x), x, torch.randn(rows, width).to(kind))
    except Unsupported as reason:
        assert str(reason)
        return
    before = compilations["unique_graphs"]
    check(module, call, dtype, rows, chosen(spec).branches * width)
    assert compilations["unique_graphs"] == before > 0
    ran = ran_alone(Executed(module, call, chosen(spec).branches * width), (rows,), kind, "cpu")
    assert (ran.frames, ran.breaks, ran.outside, ran.lacking) == (1, 0, (), "")
    assert ran.generated >= 2
    call(x * 1)  # inside a block the input is no leaf
    assert compilations["unique_graphs"] == before


class Planted(torch.autograd.Function):
    """c x^2, whose two gradients are multiplied by given factors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, c: Tensor, *factors: float) -> Tensor:
        ctx.save_for_backward(x, c)
        ctx.factors = factors
        return c * x * x

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, c = ctx.saved_tensors
        input_factor, coefficient_factor = ctx.factors
        return 2 * c * x * dy * input_factor, (dy * x * x).sum().view(1) * coefficient_factor, None, None


class Square(nn.Module):
    def __init__(self, input_factor: float = 1.0, coefficient_factor: float = 1.0):
        super().__init__()
        self.c = nn.Parameter(torch.tensor([0.5]))
        self.factors = (input_factor, coefficient_factor)

    def forward(self, x: Tensor) -> Tensor:
        return Planted.apply(x, self.c, *self.factors)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_honest_square_passes(dtype: str) -> None:
    check(Square(), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("factors", "name"), [((1.01, 1.0), "the input"), ((1.0, 0.99), "c")])
def test_a_gradient_that_is_no_derivative_is_refused_in_every_type(
    dtype: str, factors: tuple[float, float], name: str
) -> None:
    with pytest.raises(Wrong, match=rf"gradient to {name} is not the derivative of the output: .*surrogate_gradient"):
        check(Square(*factors), dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("factors", "name"), [((1.04, 1.0), "the input"), ((1.0, 1.04), "c")])
def test_a_backend_with_another_gradient_is_refused(dtype: str, factors: tuple[float, float], name: str) -> None:
    module = Square()
    with pytest.raises(Wrong, match=rf"gradient to {name} is .* rounding in {dtype} explains"):
        check(module, lambda x: Planted.apply(x, module.c, *factors), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_backend_whose_output_is_one_percent_off_is_refused(dtype: str) -> None:
    module = activation("gelu")
    with pytest.raises(Wrong, match="the output .* too large or small" if dtype == "bfloat16" else "output"):
        check(module, lambda x: module(x) * 1.0101, dtype, rows=512)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_wrong_value_is_refused(dtype: str) -> None:
    module = activation("polynorm")

    def call(x: Tensor) -> Tensor:
        y: Tensor = module(x)
        return torch.cat([y.flatten()[:-1], y.flatten()[-1:] * 0 + 4]).view(y.shape)

    with pytest.raises(Wrong, match="a value of the output is"):
        check(module, call, dtype, rows=512)


def test_half_the_digits_are_not_enough() -> None:
    module = activation("gelu")
    with pytest.raises(Wrong, match="rounding in float32 explains"):
        check(module, lambda x: module(x.bfloat16()).float())


def test_another_type_is_refused() -> None:
    module = activation("relu")
    with pytest.raises(Wrong, match="the output is float32, not bfloat16"):
        check(module, lambda x: module(x).float(), "bfloat16")


def test_values_that_are_not_finite_are_refused() -> None:
    module = activation("relu2")
    with pytest.raises(Wrong, match=r"\d+ of 1536 values of the output are not finite where float64's are"):
        check(module, lambda x: module(x * 1e20) / 1e40)
    with pytest.raises(Wrong, match="1 of 1 values of the gradient to c are not finite"):
        square = Square()
        check(square, lambda x: Planted.apply(x, square.c, 1.0, float("nan")))


def test_a_formula_that_is_not_finite_is_refused_as_that() -> None:
    class Log(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.log(x)

    with pytest.raises(Wrong, match=r"\d+ of \d+ values of the output are not finite for inputs of N\(0, 1\)"):
        check(Log())


class Spoils(torch.autograd.Function):
    """relu, whose backward pass writes into what it was given."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gradient_too: bool) -> Tensor:
        ctx.save_for_backward(x > 0)
        ctx.gradient_too = gradient_too
        if not gradient_too:
            y = x.clamp(min=0)
            x.data.view(-1)[:3] += 1
            return y
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return dy.mul_(ctx.saved_tensors[0]), None


@pytest.mark.parametrize(("gradient_too", "what"), [(True, r"\d+ of 1536 values of the output's gradient"),
                                                    (False, r"3 of 1536 values of the input")])  # fmt: skip
def test_changed_data_are_refused(gradient_too: bool, what: str) -> None:
    with pytest.raises(Wrong, match=f"{what} were changed"):
        check(activation("relu"), lambda x: Spoils.apply(x, gradient_too))


class Kept(torch.autograd.Function):
    """relu into memory that is given: the input's own, or a buffer that every call uses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, where: Tensor | None) -> Tensor:
        ctx.save_for_backward(x > 0)
        return x.data.view(x.shape) if where is None else where.copy_(x.clamp(min=0)).view(x.shape)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        return dy * ctx.saved_tensors[0], None


def test_outputs_in_memory_of_others_are_refused() -> None:
    with pytest.raises(Wrong, match="in the memory of the input"):
        check(activation("relu"), lambda x: Kept.apply(x, None))
    buffer = torch.empty(N, F)
    with pytest.raises(Wrong, match="two calls lie in the same memory"):
        check(activation("relu"), lambda x: Kept.apply(x, buffer))


class Sign(nn.Module):
    """The sign of x, with the gradient of the identity (straight-through, arXiv:1308.3432)."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (x.sign() - x).detach()


def test_a_surrogate_gradient_is_held_to_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Wrong, match="not the derivative"):
        check(Sign())
    monkeypatch.setattr(activations, "_loaded", dict(activations._loaded))
    activations.register("sign", branches=1, surrogate_gradient=True)(Sign)
    check(Sign())
    module = Sign()
    with pytest.raises(Wrong, match="the surrogate gradient to the input is"):
        check(module, lambda x: module(x).detach() + 2 * (x - x.detach()))


def test_kinks_that_rounding_can_cross_are_no_mistake() -> None:
    class Shifted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(3 * x - 0.5) + nn.functional.hardtanh(x)

    for dtype in DTYPES:
        check(Shifted(), dtype=dtype, rows=1024)


def test_it_leaves_nothing_behind() -> None:
    module = activation("polynorm")
    state, random = {k: v.clone() for k, v in module.state_dict().items()}, torch.get_rng_state()
    check(module)
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


class Upcast(nn.Module):
    """c x^3 in float32 whatever the input is, and in that type again where `back`."""

    def __init__(self, back: bool, factor: float = 1.0):
        super().__init__()
        self.c = nn.Parameter(torch.tensor([0.3]))
        self.back, self.factor = back, factor

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * self.factor + (wide * (1 - self.factor)).detach()
        if self.back:
            return (self.c.float() * wide**3).to(x.dtype)
        return (self.c * wide**3).to(x.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("back", [True, False])
def test_a_module_that_upcasts_to_float32_is_right(back: bool, dtype: str) -> None:
    check(Upcast(back), dtype=dtype)
    with pytest.raises(Wrong, match="the gradient to the input is not the derivative"):
        check(Upcast(back, 1.05), dtype=dtype)


def test_rounding_that_leads_out_of_the_domain_does_not_excuse_a_wrong_result() -> None:
    class Edge(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sqrt(1 - torch.tanh(x) ** 2)

    module = Edge()

    def call(x: Tensor, factor: float) -> Tensor:
        return factor * module(x.double()).to(x.dtype)

    check(module, lambda x: call(x, 1.0), "bfloat16")
    with pytest.raises(Wrong, match="rounding in bfloat16 explains"):
        check(module, lambda x: call(x, 3.0), "bfloat16")


def test_of_many_rows_the_first_the_last_and_some_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("polybench.measure.instruments.correct.HELD", 5 * F)
    module = activation("polynorm")
    check(module)
    for row in (0, N - 1):

        def call(x: Tensor, row: int = row) -> Tensor:
            factor = torch.ones(N, 1)
            factor[row] = 1.2
            return module(x) * factor

        with pytest.raises(Wrong, match="output"):
            check(module, call)
    with pytest.raises(Wrong, match="values of the gradient to the input stand in rows"):
        check(activation("relu"), lambda x: torch.relu(x) + x.sum(0, keepdim=True))


def test_a_wrong_result_fails_its_trial_with_the_numbers() -> None:
    with pytest.raises(Wrong) as caught:
        check(Square(1.01))
    told = explain(caught.value)
    assert told.status == "failed"
    assert told.error.startswith("the gradient to the input is not the derivative")
    assert "\n" not in told.error
