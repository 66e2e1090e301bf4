"""Tokens a second against nanoGPT's own model: `python nanogpt_speed.py FOLDER [--compile] [--device cuda ...]`.

FOLDER holds model.py of karpathy/nanoGPT (read at 3adf61e); nothing of it is kept here. Every model has a process of
its own, as in life. On a CPU each runs twice: in malloc's default heap, and in the warm one in which `polybench run`
trains; a second nanoGPT in each shows the noise. The processes take turns: in a round each takes one whole training
step (forward, backward, clipping, AdamW) on the same batch while the others wait, in an order shuffled anew, timed in
CPU time of its one thread, on a GPU by the wall clock with the device waited for. nanoGPT takes the optimizer of its
own `configure_optimizers`, ours that of our trainings. Printed is nanoGPT's time in the same heap over each one's, and
what the warm heap alone does for nanoGPT, estimated as polybench estimates times: the median of rounds, the mean over
launches, which are fresh processes, and its 98 % interval. On a GPU also the model FLOPs utilisation, of the rate at
which this device multiplies matrices of the model's size, measured last. `--out` keeps the seconds of every step as
JSON. On two quiet CPU cores it takes about six minutes, with `--compile` eight.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import torch
from torch import Tensor

from polybench.measure.model.build import chosen
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.optimizer import BETAS, adamw, update
from polybench.measure.presets import PRESETS
from polybench.measure.training.loop import losses
from polybench.measure.training.utilisation import product_rate
from polybench.measure.training_axes import TrainingAxes, TrainingProtocol
from polybench.stats import CONFIDENCE_TIME, of_launches

LR, DECAY, CLIP = 1e-3, 0.1, TrainingAxes().clip
WARM_UP = 5  # rounds of a launch that are not kept
THEIRS, AGAIN = "nanogpt", "nanogpt again"
HEAPS = ("warm", "default")  # on a CPU; a GPU's memory has none of malloc's

Step = Callable[[Tensor, Tensor], None]


def nanogpt(given: Namespace) -> Step:
    sys.path.insert(0, given.folder)
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    size = PRESETS[given.preset]
    shape = size.shape
    with redirect_stdout(io.StringIO()):
        config = GPTConfig(size.seq_len, size.vocabulary, shape.layers, shape.heads, shape.d_model, 0.0, False)
        model = GPT(config).to(given.device)
        optimizer = model.configure_optimizers(DECAY, LR, BETAS, given.device)
    run = torch.compile(model) if given.compile else model

    def loss(x_BxT: Tensor, y_BxT: Tensor) -> Tensor:
        with torch.autocast(given.device, torch.bfloat16, enabled=given.dtype == "bfloat16"):
            return run(x_BxT, y_BxT)[1]

    return step(loss, optimizer)


def ours(activation: str, given: Namespace) -> Step:
    size, by = PRESETS[given.preset], chosen(*activation.split("/"))
    model = Decoder(size.vocabulary, size.shape, size.seq_len, by).initialise(0).to(given.device)
    run = torch.compile(model) if given.compile else model
    return step(lambda x, y: losses(run, x, y, given.dtype)[0], adamw(model, LR, DECAY))


def step(loss: Callable[[Tensor, Tensor], Tensor], optimizer: torch.optim.Optimizer) -> Step:
    def take(x_BxT: Tensor, y_BxT: Tensor) -> None:
        loss(x_BxT, y_BxT).backward()
        update(optimizer, CLIP)

    return take


def serve(given: Namespace) -> None:
    """A step for every seed that comes in; its seconds go out. Compiled beforehand, all processes at once."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    size = PRESETS[given.preset]

    def batch(seed: int) -> tuple[Tensor, Tensor]:
        order = torch.Generator().manual_seed(seed)
        text_BxT = torch.randint(size.vocabulary, (given.batch, size.seq_len + 1), generator=order).to(given.device)
        return text_BxT[:, :-1].contiguous(), text_BxT[:, 1:].contiguous()

    def now() -> float:
        if given.device == "cpu":
            return time.thread_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    name = given.arm.partition(", ")[0]
    take = nanogpt(given) if name in (THEIRS, AGAIN) else ours(name, given)
    take(*batch(0))
    for seed in sys.stdin:
        x_BxT, y_BxT = batch(int(seed))
        started = now()
        take(x_BxT, y_BxT)
        print(now() - started, flush=True)


def called(name: str, heap: str, device: str) -> str:
    return f"{name}, {heap} heap" if device == "cpu" else name


def heap_of(arm: str) -> str:
    return next((heap for heap in HEAPS if arm.endswith(f", {heap} heap")), HEAPS[0])


def launch(arms: list[str], given: Namespace, shuffle: random.Random) -> dict[str, list[float]]:
    """Seconds a step of every arm, round by round."""
    processes = {
        arm: subprocess.Popen(
            [sys.executable, *sys.argv, "--arm", arm],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **TrainingProtocol.model_validate({"heap": heap_of(arm)}).environment()},
        )
        for arm in arms
    }  # fmt: skip
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for number in range(WARM_UP + given.rounds):
        for arm in shuffle.sample(arms, len(arms)):
            pipes = processes[arm]
            assert pipes.stdin and pipes.stdout
            pipes.stdin.write(f"{number}\n")
            pipes.stdin.flush()
            answer = pipes.stdout.readline()
            if not answer:
                sys.exit(f"{arm} ended early")
            if number >= WARM_UP:
                seconds[arm].append(float(answer))
    for process in processes.values():
        process.communicate()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--preset", default="1M", choices=PRESETS, help="1M: d 128, 4 layers, vocabulary 1024")
    parser.add_argument("--batch", type=int, default=16, help="sequences a step")
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--activations", nargs="+", default=["gelu", "swiglu"], help="ours, as NAME or NAME/BACKEND")
    parser.add_argument("--out", type=Path, help="a JSON file, written anew after each launch")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        serve(given)
        return
    heaps, names = HEAPS if given.device == "cpu" else HEAPS[:1], (THEIRS, AGAIN, *given.activations)
    arms = [called(name, heap, given.device) for heap in heaps for name in names]
    shuffle, taken = random.Random(0), []
    on = {"torch": torch.__version__, "on": torch.cuda.get_device_name() if given.device == "cuda" else "cpu"}
    said = {k: str(v) for k, v in vars(given).items() if k not in ("folder", "out", "arm")}
    for _ in range(given.launches):
        taken.append(launch(arms, given, shuffle))
        print(f"a launch ended at {time.strftime('%H:%M:%S')}", file=sys.stderr, flush=True)
        if given.out:
            given.out.write_text(json.dumps({**on, **said, "seconds": taken}), encoding="utf-8")
    mode = "compiled" if given.compile else "eager"
    print(
        f"torch {on['torch']}, {on['on']}, {given.preset}, {given.dtype}, {mode}, {given.batch} sequences, "
        f"{given.launches} launches of {given.rounds} rounds; {CONFIDENCE_TIME:.0%}"
    )
    axes = TrainingAxes(preset=given.preset, batch=given.batch).filled()
    rate = product_rate(axes, given.device, given.dtype) if given.device == "cuda" else None
    size = PRESETS[given.preset]
    for arm in arms:
        name, base = arm.partition(", ")[0], called(THEIRS, heap_of(arm), given.device)
        base = called(THEIRS, HEAPS[-1], given.device) if arm == base else base  # beside itself: what the heap does
        logs = [[math.log(a / b) for a, b in zip(one[base], one[arm], strict=True)] for one in taken]
        found = of_launches(logs)
        low, mid, high = (math.exp(v) for v in (found.low, found.value, found.high))
        speed = given.batch * size.seq_len / statistics.median(s for one in taken for s in one[arm])
        branches = 1 if name in (THEIRS, AGAIN) else chosen(*name.split("/")).branches
        flops = size.shape.flops_per_token(size.seq_len, size.vocabulary, branches)
        share = f"; utilisation {flops * speed / rate:.1%} of {rate / 1e12:.0f} TFLOP/s" if rate else ""
        where = f" in the {heap_of(base)} heap" if given.device == "cpu" else ""
        ratio = "" if arm == base else f" {mid:.3f} [{low:.3f}, {high:.3f}] of nanoGPT's tokens/s{where};"
        print(f"{arm:{max(map(len, arms))}}{ratio} {speed:,.0f} token/s{share}")


if __name__ == "__main__":
    main()
