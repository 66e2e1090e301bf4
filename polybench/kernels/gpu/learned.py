"""Activations of one number with coefficients that are learned, in Triton: PolyReLU, PolyPReLU and xIELU.

Backward adds up, beside dx, what each program has to say of the coefficients: (coefficients, programs). Neighbours that
one thread holds are added at once, so that sums of many coefficients take few registers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from polybench.kernels.gpu.curves import exp_minus_one, positive, sigmoid, softplus
from polybench.kernels.gpu.pointwise import load, store
from polybench.kernels.gpu.sums import added, packed, zeros

# x is (count,), count = units * ALIGN; weight holds a_r first.


@triton.jit
def _line(x, slope_ptr, SLOPED: tl.constexpr):
    """relu(x), or prelu(x)."""
    if SLOPED:
        z = tl.where(x > 0, x, tl.load(slope_ptr).to(tl.float32) * x)
    else:
        z = positive(x)
    return z


@triton.jit
def _polynomial(z, weight_ptr, ORDER: tl.constexpr):
    """sum of a_i z^i for i = 1..r, and its derivative, by Horner's rule from a_r on, as the modules take it."""
    inner = tl.load(weight_ptr).to(tl.float32) + tl.zeros_like(z)
    slope = inner
    for i in tl.static_range(1, ORDER):
        inner = inner * z + tl.load(weight_ptr + i).to(tl.float32)
        slope = slope * z + inner
    return inner * z, slope


@triton.jit(do_not_specialize=("units",))
def polynomial_forward(
    x_ptr, weight_ptr, bias_ptr, slope_ptr, y_ptr, units,
    ORDER: tl.constexpr, SLOPED: tl.constexpr, ALIGN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    count = units.to(tl.int64) * ALIGN
    bias = tl.load(bias_ptr).to(tl.float32)
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, count, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        z = _line(load(x_ptr + at, at < count), slope_ptr, SLOPED)
        value, _ = _polynomial(z, weight_ptr, ORDER)
        store(y_ptr + at, value + bias, at < count)


@triton.jit
def _moments(dy, z, ORDER: tl.constexpr):
    """dy z^i for i = r..0."""
    terms = (dy * z, dy)
    for _ in tl.static_range(ORDER - 1):
        terms = (terms[0] * z,) + terms
    return terms


@triton.jit(do_not_specialize=("units",))
def polynomial_backward(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, slope_ptr, dx_ptr, partials_ptr, units,
    ORDER: tl.constexpr, SLOPED: tl.constexpr, ALIGN: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    COUNT: tl.constexpr = ORDER + 2 if SLOPED else ORDER + 1
    count = units.to(tl.int64) * ALIGN
    parts = zeros(COUNT, BLOCK // VECTOR)
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, count, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < count
        x, dy = load(x_ptr + at, mask), load(dy_ptr + at, mask)
        z = _line(x, slope_ptr, SLOPED)
        _, slope = _polynomial(z, weight_ptr, ORDER)
        dz = dy * slope
        terms = _moments(dy, z, ORDER)
        if SLOPED:
            terms = terms + (tl.where(x > 0, 0.0, dz * x),)
            store(dx_ptr + at, tl.where(x > 0, dz, tl.load(slope_ptr).to(tl.float32) * dz), mask)
        else:
            store(dx_ptr + at, tl.where(x <= 0, 0.0, dz), mask)
        parts = added(parts, terms, COUNT, VECTOR)
    sums = packed(parts, COUNT)
    for i in tl.static_range(COUNT):
        tl.store(partials_ptr + i * tl.num_programs(0) + tl.program_id(0), sums[i])


@triton.jit(do_not_specialize=("units",))
def xielu_forward(
    x_ptr, alpha_p_ptr, alpha_n_ptr, y_ptr, units, beta, ALIGN: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    count = units.to(tl.int64) * ALIGN
    a_p = softplus(tl.load(alpha_p_ptr).to(tl.float32))
    a_n = beta + softplus(tl.load(alpha_n_ptr).to(tl.float32))
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, count, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = load(x_ptr + at, at < count)
        _, bent = exp_minus_one(tl.where(x > 0, 0.0, x))
        store(y_ptr + at, tl.where(x > 0, a_p * x * x, a_n * bent) + beta * x, at < count)


@triton.jit(do_not_specialize=("units",))
def xielu_backward(
    dy_ptr, x_ptr, alpha_p_ptr, alpha_n_ptr, dx_ptr, partials_ptr, units, beta,
    ALIGN: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr,
):  # fmt: skip
    count = units.to(tl.int64) * ALIGN
    alpha_p, alpha_n = tl.load(alpha_p_ptr).to(tl.float32), tl.load(alpha_n_ptr).to(tl.float32)
    a_p, a_n = softplus(alpha_p), beta + softplus(alpha_n)
    parts = zeros(2, BLOCK // VECTOR)
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, count, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        mask = at < count
        x, dy = load(x_ptr + at, mask), load(dy_ptr + at, mask)
        curved, bent = exp_minus_one(tl.where(x > 0, 0.0, x))
        store(dx_ptr + at, dy * (tl.where(x > 0, 2 * a_p * x, a_n * curved) + beta), mask)
        parts = added(parts, (tl.where(x <= 0, 0.0, dy * x * x), tl.where(x > 0, 0.0, dy * bent)), 2, VECTOR)
    sums = packed(parts, 2)
    programs, program = tl.num_programs(0), tl.program_id(0)
    tl.store(partials_ptr + program, sums[0] * sigmoid(alpha_p))
    tl.store(partials_ptr + programs + program, sums[1] * sigmoid(alpha_n))
