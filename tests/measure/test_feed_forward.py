"""Laws of the mixture of experts: it equals a loop over experts, drops no token, and balances its load."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polybench.measure.model.build import chosen, generator
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.feed_forward import BALANCE, Mixture, Z, auxiliary
from polybench.measure.shape import Shape
from polybench.registry import activations

# Dimension key: N tokens, D model width, E experts.

NAMES = activations.names()
D, E, K = 16, 5, 2


def shape(**other: object) -> Shape:
    return Shape(**{"layers": 2, "d_model": D, "heads": 2, "experts": E, "top_k": K} | other)  # type: ignore[arg-type]


def mixture(name: str, own: bool = False, backend: str = "eager") -> Mixture:
    made = Mixture(shape(expert_coefficients="own" if own else "shared"), chosen(name, backend)).initialise(0).double()
    with torch.no_grad():
        for i, parameter in enumerate(made.activation.parameters()):  # so that no two experts have the same
            parameter.add_(torch.randn(parameter.shape, generator=generator("coefficients", i)) / 10)
    return made


def inputs(rows: int = 12) -> Tensor:
    return torch.randn(rows, D, generator=generator("x"), dtype=torch.float64)


def by_hand(model: Mixture, x_NxD: Tensor) -> Tensor:
    """Token by token, expert by expert."""
    out = []
    for x_D in x_NxD:
        p_E = (model.router.weight @ x_D).softmax(0)
        total_D = torch.zeros(D, dtype=torch.float64)
        for e in p_E.argsort(descending=True)[:K].tolist():
            run = model.activation[e] if model.own else model.activation  # type: ignore[index]
            total_D = total_D + p_E[e] * (model.w_out[e] @ run(model.w_in[e] @ x_D))
        out.append(total_D)
    return torch.stack(out)


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("name", NAMES)
def test_it_equals_a_loop_over_tokens_and_experts(name: str, own: bool) -> None:
    model, x_NxD = mixture(name, own), inputs()
    mine, other = model(x_NxD)[0], by_hand(model, x_NxD)
    torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-8)
    gradients = [torch.autograd.grad(y.square().sum(), list(model.parameters())) for y in (mine, other)]
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("backend", ["compile", "checkpoint"])
@pytest.mark.filterwarnings("ignore")  # what the compiler warns about is not ours
@torch.no_grad()
def test_backends_agree_with_eager_for_any_number_of_rows(backend: str) -> None:
    model, served = mixture("polyrelu", own=True), mixture("polyrelu", True, backend)
    for rows in (12, 7):
        torch.testing.assert_close(served(inputs(rows))[0], model(inputs(rows))[0], rtol=1e-6, atol=1e-8)


def test_compiled_experts_are_not_compiled_anew_for_every_number_of_rows() -> None:
    versions = []

    def compiler(graph: torch.fx.GraphModule, _: object) -> object:
        versions.append(graph)
        return graph.forward

    model = mixture("polyrelu", own=True)
    model.__dict__["_runs"] = [torch.compile(a, backend=compiler, dynamic=False) for a in model.activation]
    with torch.no_grad():
        for rows in range(1, 30):
            model(inputs(rows))
    assert 1 <= len(versions) <= 5  # no row, one, any number; fewer than one in 29


def test_an_expert_nobody_chose_has_a_gradient_of_zero() -> None:
    """Every parameter has a gradient at every step, as DistributedDataParallel wants."""
    model = mixture("polynorm", own=True)
    with torch.no_grad():
        model.router.weight.zero_()
        model.router.weight[:K] = 1.0
    model(inputs().abs())[0].sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert not model.w_in.grad[K:].any()  # type: ignore[index]
    assert model.w_in.grad[:K].any()  # type: ignore[index]


def test_coefficients_are_shared_or_one_set_each() -> None:
    assert sum(p.numel() for p in mixture("polynorm").activation.parameters()) == 4
    assert sum(p.numel() for p in mixture("polynorm", own=True).activation.parameters()) == 4 * E


@pytest.mark.parametrize("name", NAMES)
def test_active_feed_forward_parameters_equal_the_dense_block(name: str) -> None:
    model = Mixture(shape(d_model=64), chosen(name))
    active = K * (model.w_in[0].numel() + model.w_out[0].numel())
    assert abs(active / (8 * 64**2) - 1) <= 0.01


def test_the_balance_loss_is_least_when_even_and_grows_to_the_number_of_experts() -> None:
    even = auxiliary(torch.zeros(8, E), torch.full((E,), 4))
    z_loss = Z * torch.log(torch.tensor(float(E))) ** 2
    torch.testing.assert_close(even - z_loss, torch.tensor(BALANCE))
    logits_NxE = functional.one_hot(torch.zeros(8, dtype=torch.long), E) * 50.0
    rows_E = torch.tensor([8] + [0] * (E - 1))
    torch.testing.assert_close(auxiliary(logits_NxE, rows_E) - Z * 50.0**2, torch.tensor(BALANCE * E))


@pytest.mark.parametrize("name", ["swiglu", "polynorm"])
def test_a_decoder_of_experts_sends_gradients_everywhere(name: str) -> None:
    model = Decoder(17, shape(qk_norm=True, tied=False), 8, chosen(name)).initialise(0)
    tokens_BxT = torch.randint(0, 17, (4, 9), generator=generator("tokens"))
    loss, extra = model(tokens_BxT[:, :-1], tokens_BxT[:, 1:])
    assert extra > 0
    (loss + extra).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert all(layer.ffn.router.weight.grad.any() for layer in model.layers)


def test_bfloat16_autocast_routes_in_float32() -> None:
    model = Mixture(shape(), chosen("polynorm")).initialise(0)
    x_NxD = inputs().float()
    with torch.autocast("cpu", torch.bfloat16):
        out_NxD, extra = model(x_NxD)
    assert extra.dtype == torch.float32
    torch.testing.assert_close(out_NxD.float(), model(x_NxD)[0], rtol=0.1, atol=0.02)
    torch.testing.assert_close(extra, model(x_NxD)[1])
