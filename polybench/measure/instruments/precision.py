"""What a call gives, forward and backward, and how far that is from exact numbers: as a norm and in ULPs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

# Dimension key: N rows, F hidden width, G branches; P the shape of a result.


def forward_backward(
    call: Callable[[Tensor], Tensor], parameters: Iterable[Tensor], x_NxGF: Tensor, dy_NxF: Tensor
) -> list[Tensor]:
    """The output, and the gradients to the input and to each parameter; zeros where there is none.

    The input is taken as a new leaf, so that no `.grad` is written and no graph kept.
    """
    x_NxGF = x_NxGF.detach().requires_grad_()
    inputs = (x_NxGF, *parameters)
    y_NxF = call(x_NxGF)
    return [y_NxF.detach(), *zeros_for_none(torch.autograd.grad(y_NxF, inputs, dy_NxF, allow_unused=True), inputs)]


def zeros_for_none(gradients: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, inputs, strict=True)]


def not_finite(found_P: Tensor, exact_P: Tensor) -> int:
    """How many values are NaN or infinite where the exact ones, in float64, are not."""
    return int((torch.isfinite(exact_P) & ~torch.isfinite(found_P)).sum())


def relative_error(found: Sequence[Tensor], exact: Sequence[Tensor]) -> float:
    """|found - exact| / |exact| in the Euclidean norm over all tensors; infinite where a value is not finite."""
    if any(not_finite(f, e) for f, e in zip(found, exact, strict=True)):
        return math.inf
    error = math.hypot(*(float((f.double() - e).norm()) for f, e in zip(found, exact, strict=True)))
    size = math.hypot(*(float(e.norm()) for e in exact))
    return error / size if size else math.inf if error else 0.0


def ulps(found_P: Tensor, exact_P: Tensor) -> Tensor:
    """Distance of each value from the exact one, in units of the last place that its type has there.

    One ULP is the distance between neighbouring numbers of `found`'s type at the exact value, that of subnormal
    numbers at least (Muller et al., Handbook of Floating-Point Arithmetic, 2018, definition 2.6). Correct
    rounding is within 0.5. Infinite where a value is not finite.
    """
    info = torch.finfo(found_P.dtype)
    exponent_P = torch.frexp(exact_P.abs().clamp(min=info.smallest_normal)).exponent
    spacing_P = torch.ldexp(torch.full_like(exact_P, info.eps), exponent_P - 1)
    return ((found_P.double() - exact_P).abs() / spacing_P).nan_to_num(nan=math.inf, posinf=math.inf)


def middle(ulps_P: Tensor, exact_P: Tensor) -> float:
    """The median where the exact value is not 0: half the outputs of a ReLU are, and right without any arithmetic."""
    counted = ulps_P[exact_P != 0]
    return float(counted.median()) if counted.numel() else 0.0
