"""Several processes that train one model: started by torchrun, met through its store."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polybench.errors import Unsupported
from polybench.measure.training.meeting import store
from polybench.trial import RENDEZVOUS

_PATIENCE = timedelta(minutes=10)  # after which a process that waits for a dead one gives up


@dataclass(frozen=True)
class Ranks:
    """This process among `count`; alone by default."""

    rank: int = 0
    count: int = 1

    def share(self, rows: Any) -> Any:
        """This process's part of the rows of a micro-batch. Raises Unsupported when they cannot be divided."""
        if len(rows) % self.count:
            raise Unsupported(f"a micro-batch of {len(rows)} sequences cannot be divided over {self.count} processes")
        return rows[self.rank :: self.count]

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.count > 1:
            torch.distributed.all_reduce(value)
            value /= self.count
        return value

    def common(self, value: float) -> float:
        """The mean of a number over all processes, so that all decide alike by it."""
        return value if self.count == 1 else float(self.mean(torch.tensor(value, device=_place())))

    def wrap(self, model: nn.Module, how: Literal["ddp", "fsdp"]) -> nn.Module:
        """The model as its copies or its shards train it."""
        if self.count == 1:
            return model
        if how == "fsdp":
            from torch.distributed.fsdp import fully_shard

            for layer in model.get_submodule("layers").children():
                fully_shard(layer)
            fully_shard(model)
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model)

    def hold(self, wrapped: nn.Module, last: bool) -> AbstractContextManager[Any]:
        """Gradients are exchanged once a step, with its last micro-batch."""
        if self.count == 1:
            return nullcontext()
        parts: Any = wrapped
        if hasattr(parts, "set_requires_gradient_sync"):  # of fully_shard
            parts.set_requires_gradient_sync(last)
            return nullcontext()
        return nullcontext() if last else parts.no_sync()


def _place() -> str:
    """Where tensors are exchanged."""
    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


def ranks(device: str) -> Ranks:
    """Join the processes that torchrun started; alone where it started none."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Ranks()
    rank = int(os.environ["RANK"])
    if not torch.distributed.is_initialized():
        backend = "nccl" if device == "cuda" else "gloo"
        if device == "cuda":
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # What one job left in torchrun's store outlives it, so each job has its own corner there.
        kept = store(os.environ.get(RENDEZVOUS, ""), _PATIENCE)
        torch.distributed.init_process_group(backend, store=kept, rank=rank, world_size=count, timeout=_PATIENCE)
    return Ranks(rank, count)
