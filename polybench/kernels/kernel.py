"""What a fused activation is: a formula and its gradient, by hand, which every implementation is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

# Dimension key: N rows, F hidden width, G branches.

ORDERS = range(1, 6)  # numbers in `weight`

Forward = Callable[..., Tensor]
Backward = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class Kernel:
    """y = f(x), x of shape (..., G*F) and y of (..., F), and dx with the gradients of parameters from dy and x alone.

    `forward(x_NxGF, *parameters, *constants)` and `backward(dy_NxF, x_NxGF, *parameters, *constants)` are the formula
    in torch, for tensors that are float32 or float64 already; backward gives dx and a gradient for each parameter,
    summed over all rows. Rows do not know each other, so both may be called for some rows at a time. Nothing but the
    input and the parameters is kept between the two.
    """

    name: str
    branches: int
    parameters: tuple[str, ...]
    constants: tuple[str, ...]
    forward: Forward
    backward: Backward
