"""What a trained decoder is worth on text that it has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from polybench.corpora.corpus import Tokens
from polybench.corpora.stream import Stream
from polybench.measure.model.decoder import Decoder
from polybench.measure.training.loop import batch, losses
from polybench.measure.training_axes import FilledAxes

# Dimension key: N tokens of a stream, V vocabulary.


@dataclass(frozen=True)
class HeldOutLoss:
    """Nats a token, and bits a byte where it is known how many bytes a token stands for; over so many tokens."""

    nats: float
    bits: float | None
    tokens: int


@torch.no_grad()
def held_out_loss(
    model: Decoder, text: Tokens, axes: FilledAxes, dtype: str, processes: int = 1, most: int | None = None
) -> HeldOutLoss:
    """The loss over what a text holds out, the same tokens for every model: `axes.evaluated` or `most` of them.

    Windows are spread evenly, so that a short evaluation sees every document's share.
    """
    stream_N, bytes_V = text.held_out_N, text.bytes_V
    T, device = axes.seq_len, model.embedding.weight.device
    wanted = axes.evaluated if most is None else min(most, axes.evaluated)
    windows = max(1, min(wanted // T, (len(stream_N) - 1) // T))
    starts = _spread(stream_N, windows, T)
    rows = max(1, axes.batch // axes.accumulate // processes)  # as many as fit into memory in training
    nats, count, size = 0.0, 0, 0
    for at in range(0, windows, rows):
        x_BxT, y_BxT = batch(stream_N, starts[at : at + rows], T, device)
        loss, _ = losses(model, x_BxT, y_BxT, dtype)
        nats += loss.item() * y_BxT.numel()
        count += y_BxT.numel()
        if bytes_V is not None:
            size += int(bytes_V[y_BxT.cpu().numpy()].sum())
    return HeldOutLoss(nats / count, nats / math.log(2) / size if size else None, count)


def sample(stream_N: Stream, axes: FilledAxes, device: torch.device) -> torch.Tensor:
    """Tokens (B, T) of one micro-batch, spread over a stream, the same ones for every model."""
    starts = _spread(stream_N, axes.batch // axes.accumulate, axes.seq_len)
    return batch(stream_N, starts, axes.seq_len, device)[0]


def _spread(stream_N: Stream, windows: int, time: int) -> np.ndarray:
    return np.linspace(0, len(stream_N) - time - 1, windows).astype(np.int64)
