"""Fused activations: forward and backward in one pass each, and nothing kept between but the input."""

from polybench.kernels.functions import (
    clamped_swiglu,
    gated_polynorm,
    geglu,
    gelu,
    polynorm,
    polyprelu,
    polyrelu,
    polyrelunorm,
    relu2,
    silu,
    swiglu,
    xielu,
)

__all__ = [
    "clamped_swiglu",
    "gated_polynorm",
    "geglu",
    "gelu",
    "polynorm",
    "polyprelu",
    "polyrelu",
    "polyrelunorm",
    "relu2",
    "silu",
    "swiglu",
    "xielu",
]
