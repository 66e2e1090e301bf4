"""Fused activations are operators that compose with all that torch does to operators, and refuse what they cannot."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from polybench import kernels
from polybench.kernels import eager
from polybench.kernels.kernel import Kernel
from polybench.kernels.operators import KERNELS, OPERATORS
from polybench.measure.instruments.allocation import kept, peak_bytes
from polybench.registry import activations

# Dimension key: N rows, F hidden width, G branches.

N, F = 3, 8
CONSTANTS = {"eps": 1e-6, "alpha": 1.7, "limit": 1.0, "shift": 1.0, "beta": 0.5}
ALL = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
# One that has neither parameters nor branches, one with both.
TWO = pytest.mark.parametrize(
    "kernel", [k for k in KERNELS if k.name in ("relu2", "gated_polynorm")], ids=lambda k: k.name
)


def inputs(kernel: Kernel, dtype: torch.dtype = torch.float32) -> tuple[Tensor, tuple[Tensor, ...], tuple[float, ...]]:
    """x (N, 2, G*F), the parameters and the constants, as `call` takes them."""
    torch.manual_seed(0)
    x = torch.randn(N, 2, kernel.branches * F, dtype=dtype).requires_grad_()
    parameters = tuple(torch.randn(3 if p == "weight" else 1).requires_grad_() for p in kernel.parameters)
    return x, parameters, tuple(CONSTANTS.get(c, 0.0) for c in kernel.constants)


def gradients(call: object, kernel: Kernel) -> list[Tensor]:
    """Output, and gradients to x and the parameters, of `call(x, *parameters)`."""
    x, parameters, _ = inputs(kernel)
    y = call(x, *parameters)  # type: ignore[operator]
    (y * y).sum().backward()
    return [y.detach(), *(t.grad for t in (x, *parameters))]


def called(kernel: Kernel) -> object:
    constants = inputs(kernel)[2]
    return lambda x, *parameters: eager.call(kernel.name, x, parameters, constants)


def alike(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@ALL
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_finds_nothing_wrong_with_an_operator(kernel: Kernel) -> None:
    x, parameters, constants = inputs(kernel)
    torch.library.opcheck(OPERATORS[kernel.name].forward, (x, *parameters, *constants))
    still = [t.detach() for t in (x, *parameters)]
    backward = (torch.randn(N, 2, F), *still, *constants)
    torch.library.opcheck(OPERATORS[kernel.name].backward, backward, test_utils=("test_schema", "test_faketensor"))


@ALL
def test_past_the_dispatcher_is_what_the_operator_gives(kernel: Kernel) -> None:
    constants = inputs(kernel)[2]
    alike(
        gradients(called(kernel), kernel),
        gradients(lambda x, *p: OPERATORS[kernel.name].forward(x, *p, *constants), kernel),
    )


@ALL
def test_a_tensor_of_another_device_has_nothing_built_for_the_cpu(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eager, "_fused", lambda name: pytest.fail("the library in C++ was asked for"))
    x, parameters, constants = inputs(kernel)
    y = eager.call(kernel.name, x.to("meta"), tuple(p.to("meta") for p in parameters), constants)
    assert y.device.type == "meta" and y.shape == (N, 2, F)


@TWO
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_function_has_no_graph_break(kernel: Kernel, dynamic: bool) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(called(kernel), backend="aot_eager", fullgraph=True, dynamic=dynamic)
    alike(gradients(compiled, kernel), gradients(called(kernel), kernel))


@TWO
@pytest.mark.parametrize("reentrant", [False, True])
def test_it_is_computed_again_in_backward_where_asked(kernel: Kernel, reentrant: bool) -> None:
    again = gradients(lambda *inputs: checkpoint(called(kernel), *inputs, use_reentrant=reentrant), kernel)
    alike(again, gradients(called(kernel), kernel))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_is_exported_with_its_operator() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(1))

        def forward(self, x_F: Tensor) -> Tensor:
            return kernels.polynorm(x_F, self.weight, self.bias)

    block, x = Block(), torch.randn(N, F)
    exported = torch.export.export(block, (x,), dynamic_shapes=({0: torch.export.Dim("rows")},))
    assert "polybench.polynorm.default" in exported.graph_module.code
    torch.testing.assert_close(exported.module()(torch.cat([x, x])), block(torch.cat([x, x])))


@TWO
def test_autocast_leaves_the_type_of_the_input(kernel: Kernel) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x, parameters, constants = inputs(kernel, dtype)
        with torch.autocast("cpu", torch.bfloat16):
            y = eager.call(kernel.name, x, parameters, constants)
        given = torch.autograd.grad(y, (x, *parameters), torch.ones_like(y))
        assert [t.dtype for t in (y, *given)] == [dtype, dtype, *(torch.float32 for _ in parameters)]


@ALL
def test_torch_func_maps_and_differentiates(kernel: Kernel) -> None:
    """Gradients of each sample, and of parameters that are of a batch themselves."""
    x, parameters, _ = inputs(kernel)
    call = called(kernel)

    def loss(x: Tensor, *parameters: Tensor) -> Tensor:
        return call(x, *parameters).square().sum()  # type: ignore[operator]

    which = tuple(range(1 + len(parameters)))
    each = [torch.func.grad(loss, which)(row, *parameters) for row in x]
    wanted = [torch.stack(parts) for parts in zip(*each, strict=True)]
    found = torch.vmap(torch.func.grad(loss, which), in_dims=(0, *[None] * len(parameters)))(x, *parameters)
    alike(list(found), wanted)
    many = [p.expand(N, *p.shape) for p in parameters]
    alike(list(torch.vmap(torch.func.grad(loss, which))(x, *many)), wanted)
    torch.testing.assert_close(
        torch.vmap(call, (1, *[None] * len(parameters)), 1)(x, *parameters), call(x, *parameters)
    )  # type: ignore[operator,arg-type]


@ALL
def test_a_batch_of_single_numbers_is_not_taken_for_a_row(kernel: Kernel) -> None:
    """One number is refused, so a batch of such is: as a row it would be normalised, or halved."""
    _, parameters, constants = inputs(kernel)
    with pytest.raises(ValueError, match=rf"{kernel.name}: x of shape \(\) needs"):
        torch.vmap(lambda x: eager.call(kernel.name, x, parameters, constants))(torch.randn(F))


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(), (1, 1)], ids=str)
def test_a_parameter_of_one_number_may_have_any_number_of_dimensions(
    kernel: Kernel, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    x, parameters, constants = inputs(kernel, dtype)
    others = tuple(p.detach().view(shape if p.numel() == 1 else p.shape).requires_grad_() for p in parameters)
    found, wanted = (
        (y := eager.call(kernel.name, x, own, constants), *torch.autograd.grad(y.sum(), (x, *own)))
        for own in (others, parameters)
    )
    assert [g.shape for g in found[2:]] == [p.shape for p in others]
    alike([g.flatten() for g in found], [g.flatten() for g in wanted])


@ALL
def test_a_gradient_of_a_gradient_is_refused_only_where_it_is_taken(kernel: Kernel) -> None:
    x, parameters, constants = inputs(kernel)
    y = eager.call(kernel.name, x, parameters, constants)
    (dx,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match=rf"the gradient of the fused {kernel.name} has no gradient"):
        torch.autograd.grad(dx.sum(), x)


@TWO
def test_a_forward_mode_gradient_is_refused(kernel: Kernel) -> None:
    x, parameters, constants = inputs(kernel)
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="has no forward-mode gradient"):
        eager.call(kernel.name, forward_ad.make_dual(x.detach(), x.detach()), parameters, constants)
    call = called(kernel)
    with pytest.raises(RuntimeError, match="jvp"):
        torch.func.jvp(lambda x: call(x, *parameters), (x.detach(),), (x.detach(),))  # type: ignore[operator]


@ALL
def test_only_what_is_asked_for_has_a_gradient(kernel: Kernel) -> None:
    x, parameters, constants = inputs(kernel)
    with torch.no_grad():
        assert not eager.call(kernel.name, x, parameters, constants).requires_grad
    still = tuple(p.detach() for p in parameters)
    eager.call(kernel.name, x, still, constants).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in parameters)
    if parameters:
        eager.call(kernel.name, x.detach(), parameters, constants).sum().backward()
        assert all(p.grad is not None for p in parameters)


@ALL
def test_any_layout_of_the_input_and_of_the_outputs_gradient_is_right(kernel: Kernel) -> None:
    """Transposed, every second number of a longer row, and a gradient that is one number expanded."""
    x, parameters, constants = inputs(kernel)
    call = called(kernel)
    y = call(x, *parameters)  # type: ignore[operator]
    wanted = torch.autograd.grad(y.sum(), (x, *parameters))
    sparse = torch.stack([x.detach(), x.detach()], -1).flatten(-2)[..., ::2].requires_grad_()
    turned = x.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    for other in (sparse, turned):
        assert not other.is_contiguous()
        found = eager.call(kernel.name, other, parameters, constants)
        alike([found], [y])
        alike(list(torch.autograd.grad(found, (other, *parameters), torch.ones(1).expand_as(found))), list(wanted))


@ALL
@pytest.mark.parametrize("shape", [(0, F), (2, 0, F), (N, 0), (F,), (1, F)], ids=str)
def test_empty_inputs_and_single_rows_are_served(kernel: Kernel, shape: tuple[int, ...]) -> None:
    _, parameters, constants = inputs(kernel)
    x = torch.randn(*shape[:-1], kernel.branches * shape[-1], requires_grad=True)
    y = eager.call(kernel.name, x, parameters, constants)
    dx, *others = torch.autograd.grad(y, (x, *parameters), torch.ones_like(y))
    assert y.shape == shape and dx.shape == x.shape
    assert [g.shape for g in others] == [p.shape for p in parameters]
    assert x.numel() or not any(g.count_nonzero() for g in others)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "told"),
    [
        (torch.ones(2, 8, dtype=torch.int64), 3, 1, "polynorm: x is int64, strided; it takes dense tensors of float32"),
        (torch.ones(2, 8, dtype=torch.complex64), 3, 1, "polynorm: x is complex64"),
        (torch.ones(2, 8).to_sparse(), 3, 1, "polynorm: x is float32, sparse_coo"),
        (torch.tensor(1.0), 3, 1, r"polynorm: x of shape \(\) needs a dimension"),
        (torch.ones(2, 8), 0, 1, r"weight is of shape \(0,\); it takes \(1,\) to \(5,\)"),
        (torch.ones(2, 8), 6, 1, r"weight is of shape \(6,\)"),
        (torch.ones(2, 8), 3, 2, r"bias is of shape \(2,\); it is one number"),
        (torch.ones(2, 8, device="meta"), 3, 1, "weight is on cpu and x on meta"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(x: Tensor, weight: int, bias: int, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        kernels.polynorm(x, torch.ones(weight), torch.ones(bias))


def words(made: object) -> list[str]:
    """The options that take one of some words."""
    return [
        option
        for option, kind in get_type_hints(made).items()
        if any(isinstance(word, str) for each in (kind, *get_args(kind)) for word in get_args(each))
    ]


@pytest.mark.parametrize("name", kernels.__all__)
def test_a_function_refuses_a_word_that_its_option_has_not(name: str) -> None:
    function = getattr(kernels, name)
    tensors = [torch.ones(1) for name, kind in get_type_hints(function).items() if kind is Tensor and name != "return"]
    for option in words(function):
        with pytest.raises(ValueError, match=f"^{option} is 'L2'; it may be '.*' or '.*'"):
            function(*tensors, **{option: "L2"})


@pytest.mark.parametrize("name", activations.names())
def test_a_module_refuses_a_word_that_its_option_has_not(name: str) -> None:
    made = activations.load(name).object
    for option in words(made.__init__):
        with pytest.raises(ValueError, match=f"^{option} is 'L2'; it may be '.*' or '.*'"):
            made(**{option: "L2"})


def test_a_width_that_two_branches_do_not_share_out_is_refused() -> None:
    with pytest.raises(ValueError, match=r"swiglu: .* needs a last dimension of 2 equal parts"):
        kernels.swiglu(torch.ones(2, 7))


@ALL
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_parameters_may_be_of_other_types_than_the_input(kernel: Kernel, dtype: torch.dtype) -> None:
    x, parameters, constants = inputs(kernel)
    if not parameters:
        pytest.skip("it has none")
    other = tuple(p.detach().to(dtype if i == 0 else p.dtype).requires_grad_() for i, p in enumerate(parameters))
    same = tuple(p.detach().float().requires_grad_() for p in other)
    found, wanted = (
        torch.autograd.grad(eager.call(kernel.name, x, own, constants).sum(), own) for own in (other, same)
    )
    assert [g.dtype for g in found] == [p.dtype for p in other]
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.float(), two, rtol=1e-2 if one.dtype == torch.bfloat16 else 1e-5, atol=1e-5)


def test_whoever_looks_at_operators_sees_it() -> None:
    seen = []

    class Looking(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    x = torch.randn(2, 8, requires_grad=True)
    with Looking():
        kernels.relu2(x).sum().backward()
    assert {"polybench.relu2.default", "polybench.relu2_backward.default"} <= set(seen)


@ALL
def test_the_input_is_all_that_is_kept_and_two_tensors_all_that_live(kernel: Kernel) -> None:
    """The output, and the gradient to the input; beside them a hundredth."""
    constants = inputs(kernel)[2]
    x = torch.randn(256, kernel.branches * 1024, requires_grad=True)
    dy = torch.randn(256, 1024)
    _, parameters, _ = inputs(kernel)

    def forward() -> Tensor:
        return eager.call(kernel.name, x, parameters, constants)

    def both() -> None:
        torch.autograd.grad(forward(), (x, *parameters), dy)

    both()
    assert kept(forward, parameters, "cpu").bytes == x.untyped_storage().nbytes()
    assert peak_bytes(both, "cpu") <= 2.01 * dy.untyped_storage().nbytes() * (1 + kernel.branches) / 2
