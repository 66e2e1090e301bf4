"""How large values are, and which of them the formats of numbers do not hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polybench.measure.range_metrics import FORMATS

# Dimension key: V values of a tensor.

_LARGEST = {
    name: torch.finfo(dtype).max
    for name, dtype in zip(FORMATS, (torch.float16, torch.float8_e4m3fn, torch.float8_e5m2), strict=True)
}


def magnitudes(x_V: Tensor) -> dict[str, float]:
    """What `RANGES` has of all values: the largest, its ratio to the rms, shares of zeros and beyond each format.

    The ratio is NaN where all values are 0. The rms is taken in float64; all else is exact.
    """
    least, most = (float(end) for end in torch.aminmax(x_V))  # in a twentieth of the time of the norm of this order
    largest = max(-least, most)
    rms = float(torch.linalg.vector_norm(x_V, dtype=torch.float64)) / math.sqrt(x_V.numel())
    return {
        "largest": largest,
        "crest": largest / rms if rms else math.nan,
        "zeros": (x_V.numel() - int(x_V.count_nonzero())) / x_V.numel(),
        **{f"beyond_{name}": _beyond(x_V, held) if largest > held else 0.0 for name, held in _LARGEST.items()},
    }


def _beyond(x_V: Tensor, held: float) -> float:
    """Compared in float64, as bfloat16 would round what it is compared with."""
    return int((x_V.abs().double() > held).count_nonzero()) / x_V.numel()
