"""Activations of one number, and of a gate and a value, in Triton: a program walks over blocks of numbers.

A count or width is units * ALIGN, so that Triton knows how many numbers may be read at a time.
"""

from __future__ import annotations

import triton
import triton.language as tl

# x is (count,), or with a gate and a value (rows, 2*width) and y (rows, width).


@triton.jit
def load(ptr, mask):
    return tl.load(ptr, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def store(ptr, value, mask):
    tl.store(ptr, value.to(ptr.dtype.element_ty), mask=mask)


@triton.jit(do_not_specialize=("units",))
def forward(x_ptr, y_ptr, units, CURVE: tl.constexpr, ALIGN: tl.constexpr, BLOCK: tl.constexpr):
    count = units.to(tl.int64) * ALIGN
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, count, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        y, _ = CURVE(load(x_ptr + at, at < count), 1.0)
        store(y_ptr + at, y, at < count)


@triton.jit(do_not_specialize=("units",))
def backward(dy_ptr, x_ptr, dx_ptr, units, CURVE: tl.constexpr, ALIGN: tl.constexpr, BLOCK: tl.constexpr):
    count = units.to(tl.int64) * ALIGN
    for start in range(tl.program_id(0).to(tl.int64) * BLOCK, count, tl.num_programs(0) * BLOCK):
        at = start + tl.arange(0, BLOCK)
        _, slope = CURVE(load(x_ptr + at, at < count), 1.0)
        store(dx_ptr + at, load(dy_ptr + at, at < count) * slope, at < count)


@triton.jit
def _tile(tile, rows, width, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Where a tile lies in y and in x, and what of it is inside."""
    across = tl.cdiv(width, BLOCK)
    row = (tile // across) * ROWS + tl.arange(0, ROWS)[:, None]
    col = (tile % across) * BLOCK + tl.arange(0, BLOCK)[None, :]
    start = row.to(tl.int64) * width
    return start + col, 2 * start + col, (row < rows) & (col < width)


@triton.jit
def _clamped(gate, value, limit, shift, CLAMPED: tl.constexpr):
    """Gate at most `limit`, value within +-`limit` and shifted; NaN stays."""
    if CLAMPED:
        gate = tl.where(gate > limit, limit, gate)
        value = tl.where(value > limit, limit, tl.where(value < -limit, -limit, value)) + shift
    return gate, value


@triton.jit(do_not_specialize=("rows", "units"))
def gated_forward(
    x_ptr, y_ptr, rows, units, alpha, limit, shift,
    CURVE: tl.constexpr, CLAMPED: tl.constexpr, ALIGN: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    width = units * ALIGN
    for tile in range(tl.program_id(0), tl.cdiv(rows, ROWS) * tl.cdiv(width, BLOCK), tl.num_programs(0)):
        at_y, at_x, mask = _tile(tile, rows, width, ROWS, BLOCK)
        gate, value = load(x_ptr + at_x, mask), load(x_ptr + at_x + width, mask)
        gate, value = _clamped(gate, value, limit, shift, CLAMPED)
        y, _ = CURVE(gate, alpha)
        store(y_ptr + at_y, y * value, mask)


@triton.jit(do_not_specialize=("rows", "units"))
def gated_backward(
    dy_ptr, x_ptr, dx_ptr, rows, units, alpha, limit, shift,
    CURVE: tl.constexpr, CLAMPED: tl.constexpr, ALIGN: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    width = units * ALIGN
    for tile in range(tl.program_id(0), tl.cdiv(rows, ROWS) * tl.cdiv(width, BLOCK), tl.num_programs(0)):
        at_y, at_x, mask = _tile(tile, rows, width, ROWS, BLOCK)
        raw_gate, raw_value = load(x_ptr + at_x, mask), load(x_ptr + at_x + width, mask)
        dy = load(dy_ptr + at_y, mask)
        gate, value = _clamped(raw_gate, raw_value, limit, shift, CLAMPED)
        y, slope = CURVE(gate, alpha)
        dgate, dvalue = dy * value * slope, dy * y
        if CLAMPED:
            dgate = tl.where(raw_gate <= limit, dgate, 0.0)
            dvalue = tl.where(tl.abs(raw_value) <= limit, dvalue, 0.0)
        store(dx_ptr + at_x, dgate, mask)
        store(dx_ptr + at_x + width, dvalue, mask)
