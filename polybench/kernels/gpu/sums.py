"""Sums along a row, several in one reduction, and the totals of what each program has summed."""

from __future__ import annotations

import triton
import triton.language as tl

# A tuple of tensors is reduced by a function of twice as many numbers; Triton has none of any number.


@triton.jit
def _add2(a, b, A, B):
    return a + A, b + B


@triton.jit
def _add3(a, b, c, A, B, C):
    return a + A, b + B, c + C


@triton.jit
def _add4(a, b, c, d, A, B, C, D):
    return a + A, b + B, c + C, d + D


@triton.jit
def _add5(a, b, c, d, e, A, B, C, D, E):
    return a + A, b + B, c + C, d + D, e + E


@triton.jit
def _add6(a, b, c, d, e, f, A, B, C, D, E, F):
    return a + A, b + B, c + C, d + D, e + E, f + F


@triton.jit
def _add7(a, b, c, d, e, f, g, A, B, C, D, E, F, G):
    return a + A, b + B, c + C, d + D, e + E, f + F, g + G


@triton.jit
def _add9(a, b, c, d, e, f, g, h, i, A, B, C, D, E, F, G, H, I):
    return a + A, b + B, c + C, d + D, e + E, f + F, g + G, h + H, i + I


@triton.jit
def _add11(a, b, c, d, e, f, g, h, i, j, k, A, B, C, D, E, F, G, H, I, J, K):
    return a + A, b + B, c + C, d + D, e + E, f + F, g + G, h + H, i + I, j + J, k + K


@triton.jit
def packed(terms, COUNT: tl.constexpr):
    """The sums of COUNT tensors of one axis, by one reduction and so one exchange between the warps."""
    if COUNT == 1:
        sums = (tl.sum(terms[0], axis=0),)
    elif COUNT == 2:
        sums = tl.reduce(terms, 0, _add2)
    elif COUNT == 3:
        sums = tl.reduce(terms, 0, _add3)
    elif COUNT == 4:
        sums = tl.reduce(terms, 0, _add4)
    elif COUNT == 5:
        sums = tl.reduce(terms, 0, _add5)
    elif COUNT == 6:
        sums = tl.reduce(terms, 0, _add6)
    elif COUNT == 7:
        sums = tl.reduce(terms, 0, _add7)
    elif COUNT == 9:
        sums = tl.reduce(terms, 0, _add9)
    else:
        tl.static_assert(COUNT == 11)
        sums = tl.reduce(terms, 0, _add11)
    return sums


@triton.jit
def folded(x, VECTOR: tl.constexpr):
    """Neighbours, which one thread holds, added up: what is left of a block to be summed later."""
    return tl.sum(tl.reshape(x, (x.shape[0] // VECTOR, VECTOR)), axis=1)


@triton.jit
def zeros(COUNT: tl.constexpr, BLOCK: tl.constexpr):
    """COUNT blocks of zeros to add to."""
    sums = (tl.zeros((BLOCK,), tl.float32),)
    for _ in tl.static_range(COUNT - 1):
        sums = sums + (tl.zeros((BLOCK,), tl.float32),)
    return sums


@triton.jit
def nothing(COUNT: tl.constexpr):
    """COUNT numbers to add to."""
    sums = (tl.cast(0.0, tl.float32),)
    for _ in tl.static_range(COUNT - 1):
        sums = sums + (tl.cast(0.0, tl.float32),)
    return sums


@triton.jit
def added(sums, terms, COUNT: tl.constexpr, VECTOR: tl.constexpr):
    """sums + folded(terms)."""
    found = (sums[0] + folded(terms[0], VECTOR),)
    for i in tl.static_range(1, COUNT):
        found = found + (sums[i] + folded(terms[i], VECTOR),)
    return found


@triton.jit(do_not_specialize=("programs", "first", "second"))
def total(partials_ptr, a_ptr, b_ptr, c_ptr, programs, first, second, BLOCK: tl.constexpr):
    """Sums of (columns, programs) in a fixed order; columns are first those of a, then of b, then of c."""
    column = tl.program_id(0)
    sums = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, programs, BLOCK):
        at = start + tl.arange(0, BLOCK)
        sums += tl.load(partials_ptr + column * programs + at, mask=at < programs, other=0.0)
    found = tl.sum(sums, axis=0)
    if column < first:
        tl.store(a_ptr + column, found)
    elif column < first + second:
        tl.store(b_ptr + column - first, found)
    else:
        tl.store(c_ptr + column - first - second, found)
