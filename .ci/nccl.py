"""DDP and FSDP2 over nccl with a single process beside plain training: `python .ci/nccl.py [cpu|cuda]`.

One process exchanges nothing with anybody, so this shows only that our wrapping, gradient holding and clipping run
over nccl (on the CPU over gloo) and give the losses of one process. Exits 1 where they do not.
"""

from __future__ import annotations

import copy
import socket
import sys

import torch
from torch import distributed

from polybench.measure.model.build import chosen
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.optimizer import adamw, update
from polybench.measure.shape import Shape
from polybench.measure.training.distributed import hold, wrap
from polybench.measure.training.loop import losses
from polybench.ranks import Place

STEPS, BATCH, TIME, VOCABULARY = 5, 8, 128, 1024
LARGEST = 1e-3  # relative; a sharded model in bfloat16 adds in another order


def trained(model: Decoder, how: str, device: str) -> list[float]:
    """Losses in nats, step by step."""
    mine = Place(0, 1) if how == "plain" else Place(0, 2)  # 2: wraps as if it were one of several
    wrapped = wrap(mine, model, how)  # type: ignore[arg-type]
    optimizer = adamw(model, 1e-3, 0.1)
    order, found = torch.Generator().manual_seed(0), []
    for _ in range(STEPS):
        text_BxT = torch.randint(VOCABULARY, (BATCH, TIME + 1), generator=order).to(device)
        for rows, last in ((text_BxT[: BATCH // 2], False), (text_BxT[BATCH // 2 :], True)):
            with hold(mine, wrapped, last):
                loss, _ = losses(wrapped, rows[:, :-1], rows[:, 1:], "bfloat16")
                (loss / 2).backward()
        update(optimizer, 1.0)
        found.append(loss.item())
    return found


def main(device: str) -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = "nccl" if device == "cuda" else "gloo"
    distributed.init_process_group(backend, init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    model = Decoder(VOCABULARY, Shape(2, 128, 2), TIME, chosen("swiglu")).initialise(0).to(device)
    plain, worst = trained(copy.deepcopy(model), "plain", device), 0.0
    for how in ("ddp", "fsdp"):
        found = trained(copy.deepcopy(model), how, device)
        off = max(abs(a / b - 1) for a, b in zip(found, plain, strict=True))
        worst = max(worst, off)
        print(f"{how} over {backend}: losses {' '.join(f'{v:.4f}' for v in found)}, {off:.1e} from plain", flush=True)
    distributed.destroy_process_group()
    return int(worst > LARGEST)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "cuda"))
