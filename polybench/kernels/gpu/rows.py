"""PolyNorm and its kin in Triton: a program walks over rows, each of which it sweeps twice.

The first sweep sums, the second writes. A row of at most BLOCK numbers stays in registers between them; a longer one
is read again, from the cache. Formulas and scaling by powers of two are those of polybench/kernels/rows.py, but a row
is summed as it stands first, and scaled only where that comes near the end of float32.
"""

from __future__ import annotations

import triton
import triton.language as tl

from polybench.kernels.gpu.curves import positive
from polybench.kernels.gpu.pointwise import load, store
from polybench.kernels.gpu.powers import gradient_of, shares_of, slopes_of, terms_of, value_of
from polybench.kernels.gpu.sums import added, nothing, packed, zeros

# x is (rows, G*width), y and dy (rows, width); weight holds a_r first. k is a power of two that scales a row, z = k x;
# share is 1 / width, of `l2` 1. A width is units * ALIGN, so that Triton knows how a row is aligned.

HUGE = tl.constexpr(1e24)  # a sum of z^2r above this is formed anew of a scaled row


@triton.jit
def _kept(x, ptr, mask, WHOLE: tl.constexpr):
    """A part of a row: x, where all of it was read before, else read."""
    return x if WHOLE else load(ptr, mask)


@triton.jit
def _within(x, clamp, CLAMPED: tl.constexpr, RELU: tl.constexpr):
    """x within +-clamp, or relu(x); NaN stays."""
    if CLAMPED:
        x = tl.where(x > clamp, clamp, tl.where(x < -clamp, -clamp, x))
    if RELU:
        x = positive(x)
    return x


@triton.jit
def _over(dy, value, clamp, GATED: tl.constexpr, CLAMPED: tl.constexpr):
    """The gradient to the sum of powers, where dy is that to y."""
    return dy * _within(value, clamp, CLAMPED, False) if GATED else dy


@triton.jit
def _largest(
    x_ptr, x, width, clamp, CLAMPED: tl.constexpr, RELU: tl.constexpr, BLOCK: tl.constexpr, WHOLE: tl.constexpr
):
    if WHOLE:
        most = tl.max(tl.abs(x), axis=0)
    else:
        sizes = tl.zeros((BLOCK,), tl.float32)
        for start in range(0, width, BLOCK):
            at = start + tl.arange(0, BLOCK)
            sizes = tl.maximum(sizes, tl.abs(_within(load(x_ptr + at, at < width), clamp, CLAMPED, RELU)))
        most = tl.max(sizes, axis=0)
    return most


@triton.jit
def _scale(most):
    """A power of two of at most 1 that brings `most` to 4 or less; 1 where it is infinite."""
    exponent = (most.to(tl.int32, bitcast=True) >> 23) & 255
    scaled = tl.minimum(tl.maximum(253 - exponent, 1), 127)
    return (tl.where(exponent == 255, 127, scaled) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _sums(
    x_ptr, value_ptr, dy_ptr, x, over, k, width, clamp,
    ORDER: tl.constexpr, GATED: tl.constexpr, CLAMPED: tl.constexpr, RELU: tl.constexpr, PIECEWISE: tl.constexpr,
    BACKWARD: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """The sums of `terms_of` along a row, which is x where it is WHOLE."""
    COUNT: tl.constexpr = 2 * ORDER + 1 if BACKWARD else ORDER
    if WHOLE:
        sums = packed(terms_of(k * x, over, ORDER, PIECEWISE, BACKWARD), COUNT)
    else:
        parts = zeros(COUNT, BLOCK // VECTOR)
        for start in range(0, width, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < width
            z = k * _within(load(x_ptr + at, mask), clamp, CLAMPED, RELU)
            part = z
            if BACKWARD:
                part = _over(
                    load(dy_ptr + at, mask), load(value_ptr + at, mask) if GATED else 0.0, clamp, GATED, CLAMPED
                )
            parts = added(parts, terms_of(z, part, ORDER, PIECEWISE, BACKWARD), COUNT, VECTOR)
        sums = packed(parts, COUNT)
    return sums


@triton.jit(do_not_specialize=("rows", "units"))
def forward(
    x_ptr, weight_ptr, bias_ptr, y_ptr, rows, units, share, eps, clamp,
    ORDER: tl.constexpr, GATED: tl.constexpr, CLAMPED: tl.constexpr, RELU: tl.constexpr, PIECEWISE: tl.constexpr,
    ALIGN: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr, WHOLE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """y of the rows that are this program's."""
    width = units * ALIGN
    bias = tl.load(bias_ptr).to(tl.float32)
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=STAGES):
        start_y = tl.cast(row, tl.int64) * width
        start_x = 2 * start_y if GATED else start_y
        x_at, value_at = x_ptr + start_x, x_ptr + start_x + width
        at = tl.arange(0, BLOCK)
        mask = at < width
        x = load(x_at + at, mask) if WHOLE else 0.0
        value = load(value_at + at, mask) if WHOLE and GATED else 0.0
        held, k = _within(x, clamp, CLAMPED, RELU), tl.cast(1.0, tl.float32)
        sums = _sums(
            x_at, value_at, y_ptr, held, held, k, width, clamp,
            ORDER, GATED, CLAMPED, RELU, PIECEWISE, False, BLOCK, VECTOR, WHOLE,
        )  # fmt: skip
        if (sums[ORDER - 1] >= HUGE) | (sums[ORDER - 1] != sums[ORDER - 1]):
            k = _scale(_largest(x_at, held, width, clamp, CLAMPED, RELU, BLOCK, WHOLE))
            sums = _sums(
                x_at, value_at, y_ptr, held, held, k, width, clamp,
                ORDER, GATED, CLAMPED, RELU, PIECEWISE, False, BLOCK, VECTOR, WHOLE,
            )  # fmt: skip
        slopes = slopes_of(weight_ptr, sums, k, share, eps, ORDER)
        for start in range(0, 1 if WHOLE else width, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < width
            z = k * _within(_kept(x, x_at + at, mask, WHOLE), clamp, CLAMPED, RELU)
            y = value_of(z, bias, slopes, ORDER, PIECEWISE)
            if GATED:
                y *= _within(_kept(value, value_at + at, mask, WHOLE), clamp, CLAMPED, False)
            store(y_ptr + start_y + at, y, mask)


@triton.jit(do_not_specialize=("rows", "units"))
def backward(
    dy_ptr, x_ptr, weight_ptr, bias_ptr, dx_ptr, partials_ptr, rows, units, share, eps, clamp,
    ORDER: tl.constexpr, GATED: tl.constexpr, CLAMPED: tl.constexpr, RELU: tl.constexpr, PIECEWISE: tl.constexpr,
    ALIGN: tl.constexpr, BLOCK: tl.constexpr, VECTOR: tl.constexpr, WHOLE: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """dx of the rows that are this program's, and their share of the parameters' gradients: (r + 1, programs)."""
    width = units * ALIGN
    bias = tl.load(bias_ptr).to(tl.float32)
    partials = nothing(ORDER + 1)
    for row in tl.range(tl.program_id(0), rows, tl.num_programs(0), num_stages=STAGES):
        start_y = tl.cast(row, tl.int64) * width
        start_x = 2 * start_y if GATED else start_y
        x_at, value_at, dy_at = x_ptr + start_x, x_ptr + start_x + width, dy_ptr + start_y
        at = tl.arange(0, BLOCK)
        mask = at < width
        x = load(x_at + at, mask) if WHOLE else 0.0
        value = load(value_at + at, mask) if WHOLE and GATED else 0.0
        dy = load(dy_at + at, mask) if WHOLE else 0.0
        held, k = _within(x, clamp, CLAMPED, RELU), tl.cast(1.0, tl.float32)
        sums = _sums(
            x_at, value_at, dy_at, held, _over(dy, value, clamp, GATED, CLAMPED), k, width,
            clamp, ORDER, GATED, CLAMPED, RELU, PIECEWISE, True, BLOCK, VECTOR, WHOLE,
        )  # fmt: skip
        if (sums[ORDER - 1] >= HUGE) | (sums[ORDER - 1] != sums[ORDER - 1]):
            k = _scale(_largest(x_at, held, width, clamp, CLAMPED, RELU, BLOCK, WHOLE))
            sums = _sums(
                x_at, value_at, dy_at, held, _over(dy, value, clamp, GATED, CLAMPED), k,
                width, clamp, ORDER, GATED, CLAMPED, RELU, PIECEWISE, True, BLOCK, VECTOR, WHOLE,
            )  # fmt: skip
        slopes = slopes_of(weight_ptr, sums, k, share, eps, ORDER)
        partials = shares_of(partials, slopes, sums, ORDER)
        for start in range(0, 1 if WHOLE else width, BLOCK):
            at = start + tl.arange(0, BLOCK)
            mask = at < width
            raw, over = _kept(x, x_at + at, mask, WHOLE), _kept(dy, dy_at + at, mask, WHOLE)
            z = k * _within(raw, clamp, CLAMPED, RELU)
            if GATED:
                factor = _kept(value, value_at + at, mask, WHOLE)
                dvalue = over * value_of(z, bias, slopes, ORDER, PIECEWISE)
                if CLAMPED:
                    dvalue = tl.where(tl.abs(factor) <= clamp, dvalue, 0.0)
                store(dx_ptr + start_x + width + at, dvalue, mask)
                over = _over(over, factor, clamp, GATED, CLAMPED)
            dx = gradient_of(z, over, k, share, slopes, sums, ORDER, PIECEWISE)
            if RELU:
                dx = tl.where(raw <= 0, 0.0, dx)
            if CLAMPED:
                dx = tl.where(tl.abs(raw) <= clamp, dx, 0.0)
            store(dx_ptr + start_x + at, dx, mask)
    for i in tl.static_range(ORDER + 1):
        tl.store(partials_ptr + i * tl.num_programs(0) + tl.program_id(0), partials[i])
