"""f(x) and f'(x) of the activations of one number, in Triton; what is not used is not computed."""

from __future__ import annotations

import triton
import triton.language as tl

# alpha is the factor of sigmoid's argument, which only `silu` has.


@triton.jit
def positive(x):
    """relu(x); NaN stays."""
    return tl.where(x < 0, 0.0, x)


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def relu2(x, alpha):
    above = positive(x)
    return above * above, 2 * above


@triton.jit
def silu(x, alpha):
    s = sigmoid(alpha * x)
    return x * s, s * (1.0 + alpha * x * (1.0 - s))


@triton.jit
def gelu(x, alpha):
    """By the tail of the normal distribution, which is exact to a few units of its last place wherever x is.

    exp(-t^2 / 2) k P(k), k = 1 / (1 + 0.3 t) and t = |x|; P is fitted to 0.5 erfcx(t / sqrt(2)) for 0 <= t <= 14
    by least squares, weighted anew until the largest relative error, 1.5e-7, stood everywhere alike.
    """
    t = tl.abs(x)
    k = 1.0 / (1.0 + 0.3 * t)
    tail = 0.0356751606 * k - 0.157204419
    tail = tail * k + 0.206355333
    tail = tail * k - 0.0536849275
    tail = tail * k + 0.128562152
    tail = tail * k + 0.0999133587
    tail = tail * k + 0.120753974
    tail = tail * k + 0.119629294
    bell = tl.exp(-0.5 * t * t)
    tail *= k * bell
    phi = tl.where(x < 0, tail, 1.0 - tail)
    return x * phi, phi + x * (0.3989422804014327 * bell)  # 1 / sqrt(2 pi)


@triton.jit
def gelu_tanh(x, alpha):
    """0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), arXiv:1606.08415."""
    square = x * x
    s = sigmoid(1.5957691216057308 * x * (1.0 + 0.044715 * square))
    slope = s + x * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 3 * 0.044715 * square)
    # Beyond 10 it is 0 or 1 to every digit, and of infinities NaN as torch's.
    return x * s, tl.where(tl.abs(x) > 10.0, (x > 0).to(tl.float32) + 0.0 * x, slope)


@triton.jit
def exp_minus_one(x):
    """expm1(x) and expm1(x) - x for x <= 0, by Taylor's series where the difference would cancel."""
    series = x * (1.0 / 40320.0) + 1.0 / 5040.0
    series = series * x + 1.0 / 720.0
    series = series * x + 1.0 / 120.0
    series = series * x + 1.0 / 24.0
    series = series * x + 1.0 / 6.0
    series = (series * x + 0.5) * x * x
    near, less_one = x > -0.5, tl.exp(x) - 1.0
    return tl.where(near, x + series, less_one), tl.where(near, series, less_one - x)


@triton.jit
def softplus(x):
    """max(x, 0) + log1p(u), u = exp(-|x|); in 1 + u a small u would lose its digits.

    log1p(u) = 2 artanh(s), s = u / (2 + u), of which s^15 is the last power: s <= 1/3.
    """
    u = tl.exp(-tl.abs(x))
    s = u / (2.0 + u)
    square = s * s
    series = square * (1.0 / 15.0) + 1.0 / 13.0
    series = series * square + 1.0 / 11.0
    series = series * square + 1.0 / 9.0
    series = series * square + 1.0 / 7.0
    series = series * square + 1.0 / 5.0
    series = series * square + 1.0 / 3.0
    return tl.maximum(x, 0.0) + 2.0 * (s + s * square * series)
