"""Kernels in Triton: compiled for three generations of GPUs without one, and held to the formulas of polybench/kernels.

`.ci/triton` runs this twice, the second time with TRITON_INTERPRET=1: Triton's interpreter then runs the kernels on the
CPU. Its rounding to bfloat16 truncates. Where a GPU is visible the same cases run on it.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

triton = pytest.importorskip("triton", reason="Triton is not installed; .ci/triton brings it")
compiler = pytest.importorskip("triton.compiler")

from polybench.kernels import eager, executed, gpu  # noqa: E402
from polybench.kernels.gpu import launch  # noqa: E402
from polybench.kernels.gpu.plans import Plan, plan  # noqa: E402
from polybench.kernels.kernel import Kernel  # noqa: E402
from polybench.kernels.operators import KERNELS, OPERATORS  # noqa: E402
from polybench.measure.instruments.precision import forward_backward  # noqa: E402
from polybench.measure.model.build import activation, chosen  # noqa: E402

# Dimension key: N rows, F hidden width, G branches.

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
ON = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
runs = pytest.mark.skipif(not INTERPRETED and ON == "cpu", reason="there is no GPU, and TRITON_INTERPRET is not 1")
compiles = pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
pytestmark = pytest.mark.filterwarnings("ignore")  # what numpy and Triton warn about is not ours

SPECS = [
    *("polynorm", "polynorm(order=5, norm=l2)", "polynorm(negative=square)", "polyrelunorm", "gated_polynorm"),
    *("polyrelu", "polyrelu(order=5)", "polyprelu", "relu2", "gelu", "gelu(approximate=tanh)", "silu", "swiglu"),
    *("geglu", "geglu(approximate=tanh)", "swiglu_clamped", "gated_polynorm(hidden_clamp=1)", "xielu"),
]
SWEEPING = ("polynorm", "gated_polynorm")
CONSTANTS = {
    "polynorm": [(1e-6, 0.0, 0.0, 0.0), (1e-3, 1.0, 0.0, 0.0), (1e-6, 0.0, 1.0, 0.0), (1e-6, 0.0, 0.0, 1.0)],
    "gated_polynorm": [(1e-6, 0.0, 0.0), (1e-3, 1.0, 1.5)],
    "swiglu_clamped": [(1.702, 1.0, 1.0)],
    "xielu": [(0.5,)],
}


@dataclass(frozen=True)
class Case:
    kernel: Kernel
    constants: tuple[float, ...]
    rows: int
    width: int
    order: int = 3

    def __str__(self) -> str:
        return f"{self.kernel.name}-{self.order}-{self.rows}x{self.width}-{'-'.join(map(str, self.constants))}"

    def drawn(self, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> tuple[Tensor, Tensor, list[Tensor]]:
        """dy, x and parameters."""
        draw = torch.Generator().manual_seed(0)
        x = scale * torch.randn(self.rows, self.kernel.branches * self.width, generator=draw)
        dy = torch.randn(self.rows, self.width, generator=draw)
        sizes = [self.order if p == "weight" else 1 for p in self.kernel.parameters]
        own = [torch.randn(size, generator=draw).to(ON) for size in sizes]
        return dy.to(ON, dtype), x.to(ON, dtype), own

    def launched(self, dy: Tensor, x: Tensor, own: list[Tensor]) -> list[Tensor]:
        y = launch.forward(self.kernel, x, own, self.constants)
        return [y, *launch.backward(self.kernel, dy, x, own, self.constants)]

    def formula(self, dy: Tensor, x: Tensor, own: list[Tensor]) -> list[Tensor]:
        y = self.kernel.forward(x, *own, *self.constants)
        return [y, *self.kernel.backward(dy, x, *own, *self.constants)]

    def errors(self, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> list[float]:
        """Of y, dx and the parameters' gradients beside float64: as norms, the last beside what is summed."""
        dy, x, own = self.drawn(dtype, scale)
        exact = self.formula(dy.double(), x.double(), [p.double() for p in own])
        found = self.launched(dy, x, own)
        assert [t.shape for t in found] == [t.shape for t in exact]
        sizes = [t.norm() for t in exact[:2]] + [dy.numel() ** 0.5 + t.norm() for t in exact[2:]]
        return [float((f.double() - e).norm() / s) for f, e, s in zip(found, exact, sizes, strict=True)]


def _cases() -> Iterator[Case]:
    for kernel in KERNELS:
        for constants in CONSTANTS.get(kernel.name, [()]):
            yield Case(kernel, constants, 5, 48)
        yield Case(kernel, constants, 2, 9000 if kernel.name in SWEEPING else 1001)
        if "weight" in kernel.parameters:
            yield from (Case(kernel, constants, 5, 24, order) for order in (1, 2, 4, 5))


CASES = list(_cases())
FIRST = {case.kernel.name: case for case in reversed(CASES)}
ROWS = [FIRST["polynorm"], Case(FIRST["polynorm"].kernel, CONSTANTS["polynorm"][0], 2, 9000)]


@runs
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_kernel_is_its_formula(case: Case) -> None:
    assert max(case.errors()) < 2e-6


@runs
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", FIRST.values(), ids=str)
def test_short_types_are_rounded_once(case: Case, dtype: torch.dtype) -> None:
    """How far that is from exact depends on the numbers: in bfloat16 1.0e-3 to 2.1e-3 here."""
    dy, x, own = case.drawn(dtype, 3.0)
    exact = case.formula(dy.double(), x.double(), [p.double() for p in own])
    for error, value in zip(case.errors(dtype, 3.0)[:2], exact, strict=False):
        once = float((value.to(dtype).double() - value).norm() / value.norm())
        assert error < (2**-7 if INTERPRETED else 1.05 * once)


@runs
@pytest.mark.parametrize("scale", [1e-4, 1e5, 1e12])
@pytest.mark.parametrize("case", ROWS, ids=str)
def test_a_row_of_any_size_is_right(case: Case, scale: float) -> None:
    """x^6 overflows from 2.6e6 on."""
    assert max(case.errors(scale=scale)[:2]) < 2e-6


@runs
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 0.0, -0.0], ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_what_is_no_usual_number_is_as_eager_has_it(spec: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in a row, a row of them, and rows beside them that do not know; by the backend `fused`, as it is used."""
    if (spec, value) == ("gelu", math.inf):
        pytest.skip("torch's own gives infinity for one number, and NaN for sixteen")
    if INTERPRETED:
        monkeypatch.setattr(executed, "native", lambda kernel: None)
        monkeypatch.setattr(eager, "_served", lambda *inputs: False)
        monkeypatch.setattr(gpu, "serving", lambda x: launch)
    torch.manual_seed(0)
    module = activation(spec).to(ON)
    x, dy = torch.randn(4, 16 * chosen(spec).branches, device=ON), torch.randn(4, 16, device=ON)
    x[1, 5], x[2] = value, value
    ours, theirs = (
        forward_backward(call, module.parameters(), x, dy) for call in (chosen(spec, "fused").executed(module), module)
    )
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5, equal_nan=True)


@runs
@pytest.mark.parametrize("alpha", [-80.0, -20.0, -1.0, 0.0, 1.0, 100.0])
def test_softplus_keeps_its_digits_far_below_zero(alpha: float) -> None:
    """a_p = softplus(alpha_p) alone is left of xIELU above 0, where beta is 0: at -80 it is 2e-35."""
    case = replace(FIRST["xielu"], constants=(0.0,))
    dy, x, own = case.drawn()
    x, own = x.abs(), [torch.full_like(p, alpha) for p in own]
    ours = case.launched(dy, x, own)
    for found, exact in zip(ours, case.formula(dy.double(), x.double(), [p.double() for p in own]), strict=True):
        torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-40)


@runs
def test_a_long_row_of_zeros_with_one_that_is_not_finite() -> None:
    case = ROWS[1]
    dy, x, own = case.drawn()
    x[:] = 0
    x[0, 4000] = float("inf")
    ours, theirs = case.launched(dy, x, own)[0], case.formula(dy, x, own)[0]
    torch.testing.assert_close(ours, theirs, equal_nan=True)


@runs
@pytest.mark.parametrize("name", ["polynorm", "polyprelu", "xielu"])
def test_sums_of_many_programs_repeat_to_the_bit(name: str) -> None:
    inputs = FIRST[name].drawn()
    first, second = (FIRST[name].launched(*inputs) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.skipif(ON == "cpu", reason="there is no GPU")
@pytest.mark.parametrize("case", FIRST.values(), ids=str)
def test_operators_of_torch_take_tensors_of_a_gpu(case: Case) -> None:
    dy, x, own = case.drawn()
    inputs = [t.requires_grad_() for t in (x, *own)]
    torch.library.opcheck(OPERATORS[case.kernel.name].forward, (*inputs, *case.constants))
    y = OPERATORS[case.kernel.name].forward(*inputs, *case.constants)
    found = [y.detach(), *torch.autograd.grad(y, inputs, dy)]
    expected = case.launched(dy, x.detach(), [p.detach() for p in own])
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@compiles
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_nothing_is_compiled_anew_for_another_number_of_rows(kernel: Kernel, backward: bool) -> None:
    constants = dict(zip(kernel.constants, CONSTANTS.get(kernel.name, [()])[0], strict=True))
    few, many = (plan(kernel, rows, 4096, 2, 3, constants, backward) for rows in (1, 100_003))
    assert (few.function, few.shape, few.options) == (many.function, many.shape, many.options)


class Driver:
    """Of a GPU that is not there: tells the compiler which it would be."""

    def get_current_target(self) -> Any:
        return compiler_target(90)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


@compiles
@pytest.mark.skipif(ON == "cuda", reason="a GPU has a driver of its own")
@pytest.mark.parametrize("name", ["polynorm", "swiglu", "polyprelu"])
def test_numbers_of_rows_of_every_kind_share_one_binary(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Triton's own launcher decides, which takes 1, and multiples of 16, for something special."""
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())
    case, made = FIRST[name], []

    def compiled_only(planned: Plan, programs: int, *tensors: Tensor) -> None:
        run = planned.function.warmup
        made.append(run(*tensors, *planned.numbers, grid=(programs,), num_warps=planned.shape.warps, **planned.options))

    monkeypatch.setattr(launch, "_run", compiled_only)
    monkeypatch.setattr(launch, "_total", lambda *inputs: None)
    for rows in (1, 3, 16, 100):
        dy, x, own = replace(case, rows=rows).drawn()
        case.launched(dy, x, own)
    assert len({id(binary) for binary in made}) == 2


# Width, bytes a number, order: rows that stay in registers, at their widest too, and such that are read twice.
COMPILED = {
    **{name: [(1024, 2, 3), (2048, 2, 5), (8192, 2, 3), (4096, 4, 3), (16384, 2, 5)] for name in SWEEPING},
    **{name: [(5464, 2, 3), (5464, 2, 5)] for name in ("polyrelu", "polyprelu")},
}


@compiles
@pytest.mark.parametrize("architecture", [80, 90, 100])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_compiled_for_a_gpu_nothing_spills(kernel: Kernel, backward: bool, architecture: int, tmp_path: Path) -> None:
    """All programs that are launched find room on an SM at a time, and memory is accessed 16 bytes at a time."""
    constants = dict(zip(kernel.constants, CONSTANTS.get(kernel.name, [()])[-1], strict=True))
    for width, itemsize, order in COMPILED.get(kernel.name, [(5464, 2, 0)]):
        planned = plan(kernel, 16384, width, itemsize, order, constants, backward)
        made = compiled(planned, "bf16" if itemsize == 2 else "fp32", architecture)
        used = resources(made.asm["cubin"], tmp_path)
        assert used["REG"] <= planned.shape.registers
        assert used["STACK"] == used["LOCAL"] == 0  # where what has no register would go
        assert made.metadata.shared * planned.shape.resident <= 160 * 1024  # of the 164 KiB that sm_80 has
        assert re.search(r"st\.global(\.\w+)*\.v4\.b32", made.asm["ptx"])


def compiled(planned: Plan, dtype: str, architecture: int) -> Any:
    """For tensors of `dtype` and parameters in float32, all aligned."""
    names = planned.function.arg_names

    def signature(name: str) -> str:
        if name in planned.options:
            return "constexpr"
        if name.endswith("_ptr"):
            return f"*{dtype if name in ('x_ptr', 'y_ptr', 'dx_ptr', 'dy_ptr') else 'fp32'}"
        return "i32" if name in ("rows", "units") else "fp32"

    types = {name: signature(name) for name in names}
    source = compiler.ASTSource(
        fn=planned.function,
        signature=types,
        constexprs={(names.index(name),): value for name, value in planned.options.items()},
        attrs={(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if types[name].startswith("*")},
    )
    options = {"num_warps": planned.shape.warps, "num_stages": 1, "maxnreg": planned.shape.registers}
    return triton.compile(source, target=compiler_target(architecture), options=options)


def compiler_target(architecture: int) -> Any:
    return triton.backends.compiler.GPUTarget("cuda", architecture, 32)


def resources(cubin: bytes, folder: Path) -> dict[str, int]:
    """What a thread of a kernel takes, as cuobjdump reads it."""
    path = folder / "kernel.cubin"
    path.write_bytes(cubin)
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    told = subprocess.run([tool, "-res-usage", path], capture_output=True, text=True, check=True).stdout
    return {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", told)}
