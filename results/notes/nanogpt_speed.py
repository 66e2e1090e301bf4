"""Tokens a second against nanoGPT's own model: `python nanogpt_speed.py FOLDER [--compile]`.

FOLDER holds model.py of karpathy/nanoGPT (read at 3adf61e); nothing of it is kept here. Every round takes one
whole training step (forward, backward, clipping, AdamW) of each model on the same batch, in an order shuffled
anew, in one thread of one process, timed in that thread's CPU time. nanoGPT takes the optimizer of its own
`configure_optimizers`, ours the groups and options of polybench.training. Printed is the geometric mean over
rounds of nanoGPT's time over ours, with the 95 % t interval of the log ratios; a second nanoGPT shows the noise.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import t
from torch import Tensor, nn

from polybench.decoder import Decoder
from polybench.language import LanguageAxes
from polybench.presets import PRESETS
from polybench.training import BETAS, EPS, groups

SIZE = PRESETS["1M"]  # d 128, 4 layers, 4 heads, vocabulary 1024, 128 tokens a sequence
BATCH, LR, DECAY, CLIP = 16, 1e-3, 0.1, LanguageAxes().clip

Loss = Callable[[Tensor, Tensor], Tensor]


def nanogpt(compiled: bool) -> Callable[[Tensor, Tensor], None]:
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    shape = SIZE.shape
    config = GPTConfig(SIZE.seq_len, SIZE.vocabulary, shape.layers, shape.heads, shape.d_model, 0.0, False)
    model = GPT(config)
    optimizer = model.configure_optimizers(DECAY, LR, BETAS, "cpu")
    run = torch.compile(model) if compiled else model
    return step(model, lambda x, y: run(x, y)[1], optimizer)


def ours(activation: str, compiled: bool) -> Callable[[Tensor, Tensor], None]:
    model = Decoder(SIZE.vocabulary, SIZE.shape, SIZE.seq_len, activation).initialise(0)
    optimizer = torch.optim.AdamW(groups(model, DECAY), lr=LR, betas=BETAS, eps=EPS, fused=True)
    run = torch.compile(model) if compiled else model
    return step(model, lambda x, y: run(x, y)[0], optimizer)


def step(model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer) -> Callable[[Tensor, Tensor], None]:
    def take(x_BxT: Tensor, y_BxT: Tensor) -> None:
        loss(x_BxT, y_BxT).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return take


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--warm-up", type=int, default=5)
    parser.add_argument("--activations", nargs="+", default=["gelu", "swiglu"])
    given = parser.parse_args()
    sys.path.insert(0, given.folder)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    arms = {"nanogpt": nanogpt(given.compile), "nanogpt again": nanogpt(given.compile)}
    arms |= {name: ours(name, given.compile) for name in given.activations}
    order = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(given.warm_up + given.rounds):
        text_BxT = torch.randint(SIZE.vocabulary, (BATCH, SIZE.seq_len + 1))
        x_BxT, y_BxT = text_BxT[:, :-1].contiguous(), text_BxT[:, 1:].contiguous()
        for name in order.sample(list(arms), len(arms)):
            started = time.thread_time()
            arms[name](x_BxT, y_BxT)
            if number >= given.warm_up:
                seconds[name].append(time.thread_time() - started)
    print(f"torch {torch.__version__}, {'compiled' if given.compile else 'eager'}, {given.rounds} rounds")
    for name in list(arms)[1:]:
        logs = np.log(seconds["nanogpt"]) - np.log(seconds[name])
        half = t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5
        low, mid, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
        rate = BATCH * SIZE.seq_len / statistics.median(seconds[name])
        print(f"{name:14} {mid:.3f} [{low:.3f}, {high:.3f}] of nanoGPT's tokens/s; {rate:,.0f} token/s")


if __name__ == "__main__":
    main()
