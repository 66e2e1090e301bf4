"""One training run, as a generator: what every step cost, and what the model is worth in between.

AdamW with betas (0.9, 0.95), eps 1e-8, gradients clipped at norm 1, a linear warm-up over a tenth of
the steps and a cosine down to a tenth of the peak: the set-up of arXiv:2411.03884's code.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from polybench.axes import LanguageAxes
from polybench.build import generator
from polybench.corpus import Tokens
from polybench.decoder import Decoder
from polybench.errors import Diverged, Unsupported
from polybench.shape import Shape

# Dimension key: B batch, T time, V vocabulary, N tokens of a stream.

BETAS, EPS, CLIP = (0.9, 0.95), 1e-8, 1.0
WARM_UP, FLOOR = 0.1, 0.1


@dataclass(frozen=True)
class Step:
    """Training loss in nats a token before the update, gradient norm before clipping, seconds."""

    loss: float
    gradient_norm: float
    seconds: float


def set_up(text: Tokens, axes: LanguageAxes, spec: str, backend: str, device: str, dtype: str, seed: int) -> Decoder:
    """The decoder of these axes, initialised from the seed.

    Raises:
        Unsupported: a dtype that cannot be trained here, or too little text.
    """
    if dtype == "float16":
        raise Unsupported("training in float16 needs loss scaling, which polybench does not do; take bfloat16")
    shortest = min(len(text.train_N), len(text.held_out_N))
    if shortest < axes.seq_len + 2:
        raise Unsupported(f"corpus {axes.corpus} has {shortest} tokens on one side, fewer than one sequence")
    if device == "cpu":
        torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms, less 7 s of imports
    model = Decoder(text.vocabulary, Shape(axes.layers, axes.d_model, axes.heads), axes.seq_len, spec, backend)
    model.initialise(seed)
    return model.to(device=device, dtype=torch.float64 if dtype == "float64" else torch.float32)


def train(model: Decoder, text: Tokens, axes: LanguageAxes, dtype: str, seed: int) -> Iterator[Step]:
    """Take `axes.steps` steps, yielding after each.

    Raises:
        Diverged: a loss that is no finite number.
    """
    optimizer = torch.optim.AdamW(groups(model, axes.weight_decay), lr=axes.lr, betas=BETAS, eps=EPS, fused=True)
    device = model.embedding.weight.device
    starts = torch.randint(
        len(text.train_N) - axes.seq_len - 1, (axes.steps, axes.batch), generator=generator(seed, "data")
    ).numpy()
    clock = _clock(device)
    for step in range(axes.steps):
        started = clock()
        x_BxT, y_BxT = _batch(text.train_N, starts[step], axes.seq_len, device)
        for group in optimizer.param_groups:
            group["lr"] = axes.lr * schedule(step, axes.steps)
        loss = _loss(model, x_BxT, y_BxT, dtype)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = loss.item()
        if not math.isfinite(value):
            raise Diverged(f"the loss became {value} at step {step + 1} of {axes.steps}")
        yield Step(value, float(norm), clock() - started)


@torch.no_grad()
def evaluate(model: Decoder, text: Tokens, axes: LanguageAxes, dtype: str) -> tuple[float, float]:
    """(nats a token, bits a byte) over `axes.eval_tokens` held-out tokens, the same for every model."""
    stream_N, T = text.held_out_N, axes.seq_len
    windows = max(1, min(axes.eval_tokens // T, (len(stream_N) - 1) // T))
    # Evenly spread over the stream, so that a short evaluation sees every held-out document's share.
    starts = np.linspace(0, len(stream_N) - T - 1, windows).astype(np.int64)
    device = model.embedding.weight.device
    nats, count, size = 0.0, 0, 0
    for at in range(0, windows, axes.batch):
        x_BxT, y_BxT = _batch(stream_N, starts[at : at + axes.batch], T, device)
        nats += _loss(model, x_BxT, y_BxT, dtype).item() * y_BxT.numel()
        count += y_BxT.numel()
        size += int(text.bytes_V[y_BxT.cpu().numpy()].sum())
    return nats / count, nats / math.log(2) / max(1, size)


def schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate at a step."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    progress = (step - warm) / max(1, steps - warm)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))


def groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices with decay; norms, coefficients and other vectors without."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def one_step(model: Decoder, text: Tokens, axes: LanguageAxes, dtype: str) -> None:
    """Forward and backward on a fixed batch, for measuring memory; gradients are dropped."""
    starts = np.arange(axes.batch) % (len(text.train_N) - axes.seq_len - 1)
    x_BxT, y_BxT = _batch(text.train_N, starts, axes.seq_len, model.embedding.weight.device)
    _loss(model, x_BxT, y_BxT, dtype).backward()
    model.zero_grad(set_to_none=True)


def _loss(model: Decoder, x_BxT: Tensor, y_BxT: Tensor, dtype: str) -> Tensor:
    with torch.autocast(x_BxT.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
        loss: Tensor = model(x_BxT, y_BxT)[0]
    return loss


def _batch(stream_N: np.ndarray, starts_B: np.ndarray, time: int, device: torch.device) -> tuple[Tensor, Tensor]:
    both_BxT = torch.from_numpy(stream_N[starts_B[:, None] + np.arange(time + 1)].astype(np.int64)).to(device)
    return both_BxT[:, :-1], both_BxT[:, 1:]


def _clock(device: torch.device):  # type: ignore[no-untyped-def]
    """Seconds: of this thread where one thread does the work, else of the wall after synchronising."""
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return time.thread_time

    def wall() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return wall
