"""The sum of normalised powers in Triton, number by number: what a row's sums add up, and what is written from them."""

from __future__ import annotations

import triton
import triton.language as tl

# weight holds a_r first. z = k x, k being a power of two that scales a row; share is 1 / width, of `l2` 1.


@triton.jit
def held(z, power, P: tl.constexpr, PIECEWISE: tl.constexpr):
    """`power`, for odd P above 1 where z is positive alone if PIECEWISE."""
    if PIECEWISE and P > 1 and P % 2 == 1:
        power = tl.where(z < 0, 0.0 * power, power)
    return power


@triton.jit
def terms_of(z, over, ORDER: tl.constexpr, PIECEWISE: tl.constexpr, BACKWARD: tl.constexpr):
    """z^2, z^4, .. z^2r, and with BACKWARD over z, .. over z^r, over."""
    power = z
    terms = (z * z,)
    for _ in tl.static_range(ORDER - 1):
        power = power * z
        terms = terms + (power * power,)
    if BACKWARD:
        power = z
        terms = terms + (over * z,)
        for p in tl.static_range(2, ORDER + 1):
            power = power * z
            terms = terms + (over * held(z, power, p, PIECEWISE),)
        terms = terms + (over,)
    return terms


@triton.jit
def slopes_of(weight_ptr, sums, k, share, eps, ORDER: tl.constexpr):
    """r_p and a_p r_p for p = 1..r, behind each other."""
    scale = k * k
    r = (tl.rsqrt(sums[0] * share + eps * scale),)
    a = (r[0] * tl.load(weight_ptr + ORDER - 1).to(tl.float32),)
    for p in tl.static_range(1, ORDER):
        scale = scale * k * k
        r = r + (tl.rsqrt(sums[p] * share + eps * scale),)
        a = a + (r[p] * tl.load(weight_ptr + ORDER - 1 - p).to(tl.float32),)
    return r + a


@triton.jit
def value_of(z, bias, slopes, ORDER: tl.constexpr, PIECEWISE: tl.constexpr):
    """sum of a_p r_p z^p + bias."""
    power = z
    y = bias + slopes[ORDER] * z
    for p in tl.static_range(2, ORDER + 1):
        power = power * z
        y += slopes[ORDER + p - 1] * held(z, power, p, PIECEWISE)
    return y


@triton.jit
def gradient_of(z, over, k, share, slopes, sums, ORDER: tl.constexpr, PIECEWISE: tl.constexpr):
    """sum of a_p p r_p z^(p-1) k (over - u_p mean(over u_p))."""
    dx = k * slopes[ORDER] * (over - slopes[0] * z * (slopes[0] * sums[ORDER] * share))
    below = z
    for p in tl.static_range(2, ORDER + 1):
        mean = slopes[p - 1] * sums[ORDER + p - 1] * share
        dx += (k * p * slopes[ORDER + p - 1]) * below * (held(z, over, p, PIECEWISE) - slopes[p - 1] * below * z * mean)
        below = below * z
    return dx


@triton.jit
def shares_of(partials, slopes, sums, ORDER: tl.constexpr):
    """`partials` and what a row adds to them: sum(over u_p) for p = r..1, and sum(over)."""
    found = (partials[0] + slopes[ORDER - 1] * sums[2 * ORDER - 1],)
    for i in tl.static_range(1, ORDER):
        found = found + (partials[i] + slopes[ORDER - 1 - i] * sums[2 * ORDER - 1 - i],)
    return found + (partials[ORDER] + sums[2 * ORDER],)
