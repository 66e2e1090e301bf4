"""Every fused activation is its formula: in float64 to the last digits, by the library of this machine to rounding."""

from __future__ import annotations

import copy
import math
import os
import signal
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polybench.kernels import eager, executed
from polybench.kernels.chunked import widest
from polybench.kernels.library import library
from polybench.measure.instruments.correct import verify
from polybench.measure.instruments.precision import forward_backward
from polybench.measure.model.build import Executed, activation, chosen, generator

# Dimension key: N rows, F hidden width, G branches.

SPECS = [
    *("relu2", "gelu", "gelu(approximate=tanh)", "silu", "swiglu", "geglu", "geglu(approximate=tanh)"),
    *("swiglu_clamped", "swiglu_clamped(preset=deepseek-v4, limit=1)", "xielu", "xielu(negative=2, beta=1)"),
    *(f"polyrelu(order={order})" for order in range(1, 6)),
    *("polyprelu", "polyprelu(order=1)", "polyprelu(order=5)"),
    *(f"polynorm(order={order}, norm={norm})" for order in range(1, 6) for norm in ("rms", "l2")),
    *("polynorm(negative=square)", "polynorm(negative=square, order=5)", "polynorm(eps=1e-3)"),
    *("polyrelunorm", "polyrelunorm(order=4, norm=l2)"),
    *("gated_polynorm", "gated_polynorm(order=5, norm=l2)", "gated_polynorm(order=1)"),
    *("gated_polynorm(preset=motif-3)", "gated_polynorm(hidden_clamp=1)", "gated_polynorm(bias=2, bias_clamp=0.5)"),
]
FEW = ["relu2", "gelu", "swiglu", "xielu", "polyrelu", "polyprelu", "polynorm", "polyrelunorm", "gated_polynorm"]
# All of them in float32, and in the narrow types one of each.
TYPED = pytest.mark.parametrize(
    ("spec", "dtype"),
    [*((spec, torch.float32) for spec in SPECS), *((s, t) for s in FEW for t in (torch.bfloat16, torch.float16))],
    ids=str,
)
LIMIT = 2e-6  # of output and gradient to the input, as a norm: thirty roundings in float32, beside the one at the end
SUMS = 1e-5  # of gradients to parameters, beside the sum of sizes
NARROW = 8e-3  # the same where they are rounded to eight bits
SHAPES = [(5, 1), (3, 7), (4, 17), (1, 64), (3, 1000), (2, 4099), (130, 33)]


def module_of(spec: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """With parameters that all differ."""
    module = activation(spec).to(dtype)
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            p += 0.3 * torch.randn(p.shape, generator=generator("kernels", i), dtype=torch.float64).to(dtype)
    return module


def drawn(spec: str, rows: int, width: int) -> tuple[Tensor, Tensor]:
    """x (N, G*F) and dy (N, F) in float64."""
    draw = generator("kernels", "data")
    shapes = (rows, chosen(spec).branches * width), (rows, width)
    return tuple(torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes)  # type: ignore[return-value]


def both(spec: str, dtype: torch.dtype, x: Tensor, dy: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What the fused call gives and what the module gives in float64, of the same numbers: y, dx, parameters'."""
    module, x, dy = module_of(spec, dtype), x.to(dtype), dy.to(dtype)
    fused = chosen(spec, "fused").executed(module)
    exact = copy.deepcopy(module).double()
    found = forward_backward(fused, module.parameters(), x, dy)
    return found, forward_backward(exact, exact.parameters(), x.double(), dy.double())


def sizes(spec: str, dtype: torch.dtype, x: Tensor, dy: Tensor) -> list[Tensor]:
    """Of what is summed for each parameter, about: its gradients where nothing cancels."""
    exact = module_of(spec, dtype).double()
    sides = [forward_backward(exact, exact.parameters(), s * x.abs(), dy.abs())[2:] for s in (1.0, -1.0)]
    return [sum(g.abs() for g in pair) for pair in zip(*sides, strict=True)]  # type: ignore[misc]


@pytest.mark.parametrize("spec", SPECS)
def test_a_formula_and_its_gradient_are_the_modules(spec: str) -> None:
    """In float64, which runs the formula itself; more rows than one chunk would need no other path."""
    found, exact = both(spec, torch.float64, *drawn(spec, 6, 12))
    for ours, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-12)


def off(found: Tensor, exact: Tensor) -> float:
    """How far from exact numbers, less what rounding each of them once to its type would do; as a share of their norm.

    Infinite where one is not finite, or finite, that should not be.
    """
    nearest = exact.to(found.dtype)
    held = torch.isfinite(nearest)
    if not torch.equal(torch.isfinite(found), held):
        return math.inf
    error, least = ((t.double() - exact)[held].norm() for t in (found, nearest))
    tiny = torch.finfo(found.dtype).smallest_normal
    return float((error - 1.02 * least) / (exact[held].norm() + tiny))


@TYPED
def test_odd_shapes_are_right_to_rounding(spec: str, dtype: torch.dtype) -> None:
    """So an output in bfloat16 is right to 1.6e-3, which is what rounding it costs."""
    for rows, width in SHAPES:
        x, dy = drawn(spec, rows, width)
        found, exact = both(spec, dtype, x, dy)
        if width > 1:  # a normalised row of one has no gradient but what cancels
            assert [off(ours, theirs) < LIMIT for ours, theirs in zip(found[:2], exact[:2], strict=True)] == [True] * 2
        for ours, theirs, size in zip(found[2:], exact[2:], sizes(spec, dtype, x, dy), strict=True):
            share = SUMS if dtype == torch.float32 else NARROW
            assert ((ours.double() - theirs).abs() <= share * (size + 1e-3)).all(), (rows, width)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", ["polynorm", "polynorm(order=5, negative=square)", "gated_polynorm"])
def test_long_rows_are_right_beside_one_that_must_be_scaled(spec: str, dtype: torch.dtype) -> None:
    """Longer than what is summed in float32 at once; the sixth powers of the second row leave float32 no room."""
    x, dy = drawn(spec, 3, 20_011)
    x[1] *= 5e3
    found, exact = both(spec, dtype, x, dy)
    for ours, theirs in zip(found[:2], exact[:2], strict=True):
        assert [off(ours[row], theirs[row]) < LIMIT for row in range(3)] == [True] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", FEW)
def test_it_is_held_to_its_formula_as_a_timing_holds_it(spec: str, dtype: torch.dtype) -> None:
    module = activation(spec).to(dtype)
    call = chosen(spec, "fused").executed(module)
    verify(Executed(module, call, 1000 * chosen(spec).branches), 16, dtype, "cpu", 1)


@pytest.mark.parametrize(
    ("spec", "scale"),
    [*((spec, scale) for spec in SPECS for scale in (1e-42, 1e-20, 1e-3, 1e5, 1e18)), *((few, 1e30) for few in FEW)],
)
def test_any_size_of_the_input_is_right_in_float32(spec: str, scale: float) -> None:
    """Infinite where the exact number is none of float32. At 1e30 the fourth power's norm is too large for float64."""
    x, dy = drawn(spec, 3, 37)
    found, exact = both(spec, torch.float32, scale * x, dy)
    assert [off(ours, theirs) < 4 * LIMIT for ours, theirs in zip(found[:2], exact[:2], strict=True)] == [True] * 2


@pytest.mark.parametrize(
    ("dtype", "chunks"), [(torch.float32, False), (torch.float32, True), (torch.float64, True)], ids=str
)
@pytest.mark.parametrize("spec", ["polynorm", "polynorm(order=5, norm=l2)", "polyrelunorm", "gated_polynorm"])
def test_a_row_up_to_the_largest_number_is_as_one_of_a_power_of_two_less(
    spec: str, dtype: torch.dtype, chunks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chunks:
        monkeypatch.setattr(executed, "native", lambda kernel: None)
        monkeypatch.setattr(eager, "_served", lambda *inputs: False)
    x, dy = (t.to(dtype) for t in drawn(spec, 3, 37))
    x[:, 37:] = 1  # the value of a gated one, that y stays finite
    x[:, :37] *= 1.9 / x[:, :37].abs().amax(-1, keepdim=True)
    module = module_of(spec, dtype)
    fused = chosen(spec, "fused").executed(module)
    results = []
    for exponent in (60, math.frexp(torch.finfo(dtype).max)[1] - 1):
        large = torch.cat([x[:, :37] * 2.0**exponent, x[:, 37:]], -1)
        results.append(forward_backward(fused, module.parameters(), large, dy))
    for i, (less, most) in enumerate(zip(*results, strict=True)):
        if i != 1:  # the gradient to x is smaller by what x is larger
            torch.testing.assert_close(most, less)


@pytest.mark.parametrize("scale", [0.01, 0.1, 10.0])
@pytest.mark.parametrize("spec", ["polynorm", "polynorm(order=5)", "gated_polynorm"])
def test_float16_is_right_where_its_own_powers_would_not_be(spec: str, scale: float) -> None:
    x, dy = drawn(spec, 3, 200)
    found, exact = both(spec, torch.float16, scale * x, dy)
    assert [off(ours, theirs) < LIMIT for ours, theirs in zip(found[:2], exact[:2], strict=True)] == [True] * 2


@TYPED
@pytest.mark.parametrize("value", [-0.0, math.nan, math.inf, -math.inf], ids=str)
def test_what_is_no_usual_number_is_as_eager_has_it(spec: str, dtype: torch.dtype, value: float) -> None:
    """One in a row, a row of them, and rows beside them that do not know."""
    if (spec, value) == ("gelu", math.inf):
        pytest.skip("torch's own gives infinity for one number, and NaN for sixteen")
    x, dy = drawn(spec, 4, 21)
    x[1, 5], x[2] = value, value
    module, x, dy = module_of(spec, torch.float32), x.to(dtype), dy.to(dtype)
    fused = chosen(spec, "fused").executed(module)
    for ours, theirs in zip(
        forward_backward(fused, module.parameters(), x, dy),
        forward_backward(module, module.parameters(), x, dy),
        strict=True,
    ):
        narrow = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}[dtype]
        torch.testing.assert_close(ours, theirs, rtol=narrow, atol=narrow, equal_nan=True)


@pytest.mark.parametrize("value", [-0.0, math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_in_chunks_too_what_is_no_usual_number_is_as_eager_has_it(
    spec: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, which no library serves."""
    x, dy = drawn(spec, 4, 21)
    x[1, 5], x[2] = value, value
    module, x, dy = module_of(spec, torch.float64), x.double(), dy.double()
    fused = chosen(spec, "fused").executed(module)
    for ours, theirs in zip(
        forward_backward(fused, module.parameters(), x, dy),
        forward_backward(module, module.parameters(), x, dy),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_chunks_are_summed_in_what_the_device_has() -> None:
    """Apple's GPUs refuse float64."""
    assert {name: widest(torch.device(name)) for name in ("cpu", "cuda", "mps")} == {
        "cpu": torch.float64, "cuda": torch.float64, "mps": torch.float32,
    }  # fmt: skip


@pytest.mark.parametrize("spec", ["polynorm", "polyprelu", "swiglu"])
def test_threads_change_no_more_than_the_order_of_sums(spec: str, threads: Callable[[int], None]) -> None:
    """And the same number of them gives the same bits."""
    x, dy = drawn(spec, 67, 1024)
    found = {}
    for count in (1, 2, 2, 1):
        threads(count)
        found.setdefault(count, []).append(both(spec, torch.float32, x, dy)[0])
    for count in (1, 2):
        assert all(torch.equal(a, b) for a, b in zip(*found[count], strict=True))
    for one, two in zip(found[1][0], found[2][0], strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-3)


@pytest.fixture
def threads() -> object:
    """Sets how many threads torch takes, and sets it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_copy_of_a_process_with_threads_still_computes(threads: Callable[[int], None]) -> None:
    """OpenMP would wait there for threads that no copy has; and so would torch's own operators, of many numbers."""
    threads(2)
    x, dy = (t.float() for t in drawn("polynorm", 67, 1024))
    module = module_of("polynorm", torch.float32)
    fused = chosen("polynorm", "fused").executed(module)

    def few() -> list[float]:
        return [
            number for t in forward_backward(fused, module.parameters(), x, dy) for number in t.flatten()[:99].tolist()
        ]

    before = few()
    if (pid := os.fork()) == 0:
        signal.alarm(60)  # that it ends, if not well
        os._exit(0 if few() == pytest.approx(before, rel=1e-4, abs=1e-3) else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_the_library_serves_every_kernel_where_there_is_a_compiler() -> None:
    from polybench.kernels.native import native
    from polybench.kernels.operators import KERNELS

    if library() is None:
        pytest.skip("there is no C++ compiler")
    assert [kernel.name for kernel in KERNELS if native(kernel) is None] == []
