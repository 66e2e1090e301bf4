"""liger-kernel's Triton kernels beside our eager modules in float32, by Triton's interpreter on the CPU.

`TRITON_INTERPRET=1 python .ci/liger.py`, with triton and liger-kernel installed (liger-kernel's --no-deps
keeps a CPU torch). Exits 1 where outputs or gradients differ, or where input or dy are overwritten.
Tried with triton 3.9.0, liger-kernel 0.8.5, torch 2.13.0.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
import triton
import triton.language as tl
from liger_kernel.ops import geglu, poly_norm
from triton.runtime import interpreter

from polybench.measure.backends.liger import mapped
from polybench.measure.model.build import chosen

SPECS = ("polynorm", "polynorm(eps=1e-3, bias=0.25)", "swiglu", "geglu(approximate=tanh)", "relu2")
SHAPES = ((7, 48), (1, 64), (2, 3, 96), (1, 1, 8), (5, 1000))
LARGEST = 1e-5  # relative norm


@triton.jit
def rsqrt(x):
    return 1.0 / tl.sqrt(x)


@triton.jit
def tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


def prepare() -> None:
    """What the interpreter lacks: CUDA's libdevice, and scalars that are fp32 as on a GPU."""
    poly_norm.rsqrt, geglu.tanh = rsqrt, tanh
    plain = interpreter._implicit_cvt

    def converted(argument):
        if isinstance(argument, float):
            return tl.tensor(interpreter.TensorHandle(np.array([argument], dtype=np.float32), tl.float32), tl.float32)
        return plain(argument)

    interpreter._implicit_cvt = converted


def errors(spec: str, shape: tuple[int, ...]) -> list[float]:
    """Relative norms of the differences: output, gradient of the input, of each parameter."""
    activation = chosen(spec)
    module = activation.module()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    x = torch.randn(*shape[:-1], activation.branches * shape[-1], requires_grad=True)
    dy = torch.randn(shape)
    kept, found = (x.detach().clone(), dy.clone()), []
    for run in (module, mapped(module)):
        y = run(x)
        found.append([y.detach(), *torch.autograd.grad(y, (x, *module.parameters()), dy)])
    if not (torch.equal(x, kept[0]) and torch.equal(dy, kept[1])):
        sys.exit(f"{spec} {shape}: an input was overwritten")
    return [float((a - b).norm() / a.norm()) for a, b in zip(*found, strict=True)]


def main() -> int:
    prepare()
    torch.manual_seed(0)
    worst = 0.0
    for spec in SPECS:
        for shape in SHAPES:
            found = errors(spec, shape)
            worst = max(worst, *found)
            print(f"{spec:32s} {shape!s:12s}", " ".join(f"{e:.1e}" for e in found))
    print(f"largest relative difference {worst:.1e}")
    return int(worst > LARGEST)


if __name__ == "__main__":
    sys.exit(main())
