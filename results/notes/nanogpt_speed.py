"""Tokens a second against nanoGPT's own model: `python nanogpt_speed.py FOLDER [--compile]`.

FOLDER holds model.py of karpathy/nanoGPT (read at 3adf61e); nothing of it is kept here. Every model has a process of
its own, as in life: nanoGPT's with malloc as it is, ours with the heap in which `polybench run` trains; `nanogpt, warm
heap` shows what the heap alone does, a second nanoGPT the noise. The processes take turns: in a round each takes one
whole training step (forward, backward, clipping, AdamW) on the same batch while the others wait, in an order shuffled
anew, timed in CPU time of its one thread. nanoGPT takes the optimizer of its own `configure_optimizers`, ours the
groups and options of polybench.measure.training.loop. Printed is nanoGPT's time over each one's, estimated as polybench
estimates times: the median of rounds, the mean over launches, which are fresh processes, and its 98 % interval.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout

import torch
from torch import Tensor, nn

from polybench.measure.model.build import chosen
from polybench.measure.model.decoder import Decoder
from polybench.measure.presets import PRESETS
from polybench.measure.training.loop import BETAS, EPS, groups
from polybench.measure.training_axes import TrainingAxes, TrainingProtocol
from polybench.stats import CONFIDENCE_TIME, of_launches

SIZE = PRESETS["1M"]  # d 128, 4 layers, 4 heads, vocabulary 1024, 128 tokens a sequence
BATCH, LR, DECAY, CLIP = 16, 1e-3, 0.1, TrainingAxes().clip
WARM_UP = 5  # rounds of a launch that are not kept
THEIRS = "nanogpt"
OTHERS = ("nanogpt again", "nanogpt, warm heap")

Step = Callable[[Tensor, Tensor], None]


def nanogpt(folder: str, compiled: bool) -> Step:
    sys.path.insert(0, folder)
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    shape = SIZE.shape
    config = GPTConfig(SIZE.seq_len, SIZE.vocabulary, shape.layers, shape.heads, shape.d_model, 0.0, False)
    model = GPT(config)
    optimizer = model.configure_optimizers(DECAY, LR, BETAS, "cpu")
    run = torch.compile(model) if compiled else model
    return step(model, lambda x, y: run(x, y)[1], optimizer)


def ours(activation: str, compiled: bool) -> Step:
    model = Decoder(SIZE.vocabulary, SIZE.shape, SIZE.seq_len, chosen(activation)).initialise(0)
    optimizer = torch.optim.AdamW(groups(model, DECAY), lr=LR, betas=BETAS, eps=EPS, fused=True)
    run = torch.compile(model) if compiled else model
    return step(model, lambda x, y: run(x, y)[0], optimizer)


def step(model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], optimizer: torch.optim.Optimizer) -> Step:
    def take(x_BxT: Tensor, y_BxT: Tensor) -> None:
        loss(x_BxT, y_BxT).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return take


def serve(arm: str, folder: str, compiled: bool) -> None:
    """A step for every seed that comes in; its seconds go out."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with redirect_stdout(sys.stderr):
        take = nanogpt(folder, compiled) if arm.startswith(THEIRS) else ours(arm, compiled)
    for seed in sys.stdin:
        order = torch.Generator().manual_seed(int(seed))
        text_BxT = torch.randint(SIZE.vocabulary, (BATCH, SIZE.seq_len + 1), generator=order)
        x_BxT, y_BxT = text_BxT[:, :-1].contiguous(), text_BxT[:, 1:].contiguous()
        started = time.thread_time()
        take(x_BxT, y_BxT)
        print(time.thread_time() - started, flush=True)


def launch(arms: list[str], rounds: int, shuffle: random.Random) -> dict[str, list[float]]:
    """Seconds a step of every arm, round by round."""
    warm = TrainingProtocol(heap="warm").environment()
    processes = {
        arm: subprocess.Popen(
            [sys.executable, *sys.argv, "--arm", arm],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **({} if arm in (THEIRS, OTHERS[0]) else warm)},
        )
        for arm in arms
    }  # fmt: skip
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for number in range(WARM_UP + rounds):
        for arm in shuffle.sample(arms, len(arms)):
            pipes = processes[arm]
            assert pipes.stdin and pipes.stdout
            pipes.stdin.write(f"{number}\n")
            pipes.stdin.flush()
            taken = float(pipes.stdout.readline())
            if number >= WARM_UP:
                seconds[arm].append(taken)
    for process in processes.values():
        process.communicate()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--activations", nargs="+", default=["gelu", "swiglu"])
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        serve(given.arm, given.folder, given.compile)
        return
    arms = [THEIRS, *OTHERS, *given.activations]
    shuffle = random.Random(0)
    taken = [launch(arms, given.rounds, shuffle) for _ in range(given.launches)]
    mode = "compiled" if given.compile else "eager"
    print(
        f"torch {torch.__version__}, {mode}, {given.launches} launches of {given.rounds} rounds; {CONFIDENCE_TIME:.0%}"
    )
    for arm in arms[1:]:
        logs = [[math.log(a / b) for a, b in zip(one[THEIRS], one[arm], strict=True)] for one in taken]
        found = of_launches(logs)
        low, mid, high = (math.exp(v) for v in (found.low, found.value, found.high))
        rate = BATCH * SIZE.seq_len / statistics.median(s for one in taken for s in one[arm])
        print(f"{arm:18} {mid:.3f} [{low:.3f}, {high:.3f}] of nanoGPT's tokens/s; {rate:,.0f} token/s")


if __name__ == "__main__":
    main()
