"""How fast this machine multiplies matrices of a model's own size: the rate that its training is held against."""

from __future__ import annotations

import torch

from polybench.measure.instruments.timer import clock_of
from polybench.measure.model.build import generator
from polybench.measure.training_axes import FilledAxes

# Dimension key: N tokens of a micro-batch, D model width, F hidden width.

_SAMPLES, _LEAST_S = 5, 0.02


def product_rate(axes: FilledAxes, device: str, dtype: str) -> float:
    """Operations a second of x_NxD @ w_DxF with F = 4 D, the best of five samples of 20 ms or more."""
    place = torch.device(device)
    kind = {"bfloat16": torch.bfloat16, "float64": torch.float64}.get(dtype, torch.float32)
    D, N = axes.d_model, axes.tokens_per_step // axes.accumulate
    # Random, since a GPU at its power limit multiplies constants faster than it does a model's numbers.
    x_NxD, w_DxF = (torch.randn(s, generator=generator("product")).to(place, kind) for s in ((N, D), (D, 4 * D)))
    clock, calls, best = clock_of(place.type, torch.get_num_threads()), 1, 0.0
    samples = 0
    while samples < _SAMPLES:
        start = clock()
        for _ in range(calls):
            x_NxD @ w_DxF
        seconds = clock() - start
        if seconds < _LEAST_S:
            calls *= 2  # so short a sample is the clock's
            continue
        samples += 1
        best = max(best, calls * 2 * N * w_DxF.numel() / seconds)
    return best
