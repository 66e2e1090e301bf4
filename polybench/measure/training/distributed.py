"""Several processes that train one model: started by torchrun, met through its store."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polybench.errors import Unsupported
from polybench.measure.training.meeting import store
from polybench.ranks import Place, place
from polybench.trial import RENDEZVOUS

_PATIENCE = timedelta(minutes=10)  # after which a process that waits for a dead one gives up


def join(device: str) -> Place:
    """Meet the other processes that torchrun started, and say which one this is; alone where it started none."""
    mine = place()
    if mine.size > 1 and not torch.distributed.is_initialized():
        backend = "nccl" if device == "cuda" else "gloo"
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # What one job left in torchrun's store outlives it, so each job has its own corner there.
        kept = store(os.environ.get(RENDEZVOUS, ""), _PATIENCE)
        torch.distributed.init_process_group(
            backend, store=kept, rank=mine.rank, world_size=mine.size, timeout=_PATIENCE
        )
    return mine


def share(mine: Place, rows: Any) -> Any:
    """This process's part of the rows of a micro-batch. Raises Unsupported when they cannot be divided."""
    if len(rows) % mine.size:
        raise Unsupported(f"a micro-batch of {len(rows)} sequences cannot be divided over {mine.size} processes")
    return rows[mine.rank :: mine.size]


def mean(mine: Place, value: Tensor) -> Tensor:
    """The mean over all processes."""
    if mine.size > 1:
        torch.distributed.all_reduce(value)
        value /= mine.size
    return value


def common(mine: Place, value: float) -> float:
    """The mean of a number over all processes, so that all decide alike by it."""
    if mine.size == 1:
        return value
    exchanged_on = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    return float(mean(mine, torch.tensor(value, device=exchanged_on)))


def wrap(mine: Place, model: nn.Module, how: Literal["ddp", "fsdp"]) -> nn.Module:
    """The model as its copies or its shards train it."""
    if mine.size == 1:
        return model
    if how == "fsdp":
        from torch.distributed.fsdp import fully_shard

        for layer in model.get_submodule("layers").children():
            fully_shard(layer)
        fully_shard(model)
        return model
    from torch.nn.parallel import DistributedDataParallel

    return DistributedDataParallel(model)


def hold(mine: Place, wrapped: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """Gradients are exchanged once a step, with its last micro-batch."""
    if mine.size == 1:
        return nullcontext()
    parts: Any = wrapped
    if hasattr(parts, "set_requires_gradient_sync"):  # of fully_shard
        parts.set_requires_gradient_sync(last)
        return nullcontext()
    return nullcontext() if last else parts.no_sync()
