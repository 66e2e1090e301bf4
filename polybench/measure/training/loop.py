"""One training, step by step: AdamW, gradients clipped, and the branches in which its plateau is finished early.

The mean of the last weights is that of arXiv:1803.05407; that one plateau serves trainings of many lengths,
arXiv:2405.18392.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from polybench.corpora.corpus import Tokens
from polybench.corpora.stream import Stream
from polybench.errors import Diverged, Unsupported
from polybench.measure.instruments.timer import clock_of
from polybench.measure.instruments.watching import Ran, watch
from polybench.measure.model.build import Chosen, generator
from polybench.measure.model.compiled import by_inductor
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.optimizer import adamw, trained_by, update
from polybench.measure.training.distributed import hold, mean, share, wrap
from polybench.measure.training.schedule import schedule
from polybench.measure.training_axes import FilledAxes
from polybench.ranks import Place

# Dimension key: B batch, T time, V vocabulary, N tokens of a stream.


@dataclass(frozen=True)
class Step:
    """Training loss in nats a token before the update, gradient norm before clipping, rate, seconds.

    `aside` is a step of a branch, whose weights the plateau does not go on with; `ends` is the last of a budget.
    """

    loss: float
    gradient_norm: float
    rate: float
    seconds: float
    aside: bool = False
    ends: bool = False


def set_up(text: Tokens, axes: FilledAxes, activation: Chosen, device: str, dtype: str, seed: int) -> Decoder:
    """The decoder of these axes, initialised from the seed.

    Raises:
        Unsupported: a dtype that cannot be trained here, or too little text.
    """
    if dtype == "float16":
        raise Unsupported("training in float16 needs loss scaling, which polybench does not do; take bfloat16")
    shortest = min(len(text.train_N), len(text.held_out_N))
    if shortest < axes.seq_len + 2:
        raise Unsupported(f"corpus {axes.corpus} has {shortest} tokens on one side, fewer than one sequence")
    model = Decoder(text.vocabulary, axes.shape, axes.seq_len, activation)
    model.recompute = axes.recompute
    model.initialise(seed if axes.varies != "data" else 0, axes.zero_output)
    return model.to(device=device, dtype=torch.float64 if dtype == "float64" else torch.float32)


def repeatable(wanted: bool) -> None:
    """Refuse operators that are not the same to the bit from run to run, and slow ones are taken in their place."""
    # This is use_deterministic_algorithms, less 7 s of imports.
    torch.set_deterministic_debug_mode("error" if wanted else "default")
    # It would write NaN into all new memory, which takes kernels that fill theirs themselves half of their time again.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class Training:
    """A model, its optimizer and how far it is; `steps` goes on from there.

    It heads for one budget after the other. Where the rate leaves the plateau for a budget that is not the
    last, all that the plateau goes on with is kept beside, and taken up again when that budget is finished.
    """

    def __init__(
        self,
        model: Decoder,
        text: Tokens,
        axes: FilledAxes,
        rate: float,
        dtype: str,
        seed: int,
        place: Place | None = None,
        parallel: Any = "ddp",
    ):
        self.model, self.text, self.axes, self.rate, self.dtype = model, text, axes, rate, dtype
        self.place = place or Place()
        self.done = 0  # steps behind the weights as they are
        self.finished = 0  # budgets
        self.plateau: dict[str, Any] | None = None  # what a branch goes back to
        self.means: list[Tensor] = []  # of the weights after the last steps so far
        self.device = model.embedding.weight.device
        self.wrapped = wrap(self.place, model, parallel)
        self.run: Callable[..., Any] = by_inductor(self.wrapped) if axes.compile else self.wrapped
        self.optimizer = adamw(model, rate, axes.weight_decay, axes.coefficient_lr)
        order = generator(seed if axes.varies != "init" else 0, "data")
        size = (axes.steps, axes.batch)
        self._budgets = axes.budgets
        self._starts = torch.randint(len(text.train_N) - axes.seq_len - 1, size, generator=order).numpy()

    def micro_batch(self) -> None:
        """Forward and backward of a micro-batch, for measuring memory; gradients are dropped."""
        x_BxT, y_BxT = self._first()
        loss, added = losses(self.run, x_BxT, y_BxT, self.dtype)
        torch.autograd.backward(loss + added)
        self.optimizer.zero_grad(set_to_none=True)

    def ran(self) -> Ran:
        """What a micro-batch runs of the model, its losses and its backward pass, once it is warmed up."""
        x_BxT, y_BxT = self._first()

        def forward() -> list[Tensor]:
            return [part for part in losses(self.run, x_BxT, y_BxT, self.dtype) if part.requires_grad]

        with hold(self.place, self.wrapped, last=True):
            ran = watch(forward, torch.autograd.backward)
        self.optimizer.zero_grad(set_to_none=True)
        return ran

    def warm_up(self) -> float:
        """Wall seconds of a forward and backward pass whose gradients are dropped: compiling, and first touches."""
        start = time.perf_counter()
        self._backward(self._starts[0])
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def steps(self) -> Iterator[Step]:
        """Take the steps that are left, yielding after each.

        Raises:
            Diverged: a loss that is no finite number.
        """
        axes, clock = self.axes, clock_of(self.device.type, torch.get_num_threads(), self.place.size)
        parameters = trained_by(self.optimizer)
        while self._heads_on():
            started = clock()
            factor = schedule(self.done, axes, self.budget)
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * group["scale"] * factor
            loss = mean(self.place, self._backward(self._starts[self.done]))
            norm = update(self.optimizer, axes.clip)
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(f"the loss became {value} at step {self.done + 1} of {axes.steps}")
            self.done += 1
            self._average(parameters)
            aside, ends = self.plateau is not None, self.done == self.budget
            yield Step(value, float(whole(norm)), self.rate * factor, clock() - started, aside, ends)

    @property
    def budget(self) -> int:
        """Steps of the training that is finished next."""
        return self._budgets[self.finished]

    def _heads_on(self) -> bool:
        """Whether a step is left; comes back from a branch that has ended, and leaves the plateau for one."""
        last = self._budgets[-1]
        if self.done == self.budget and self.plateau is not None:
            self._take_up(self.plateau)
            self.plateau, self.means = None, []
            self.finished += 1
        if self.budget < last and self.plateau is None and self.done == self.axes.fork(self.budget):
            self.plateau = copy.deepcopy(self._weights())  # the state is of the very tensors that train on
        return self.done < last

    @torch.no_grad()
    def _average(self, parameters: list[Tensor]) -> None:
        """Take this step's weights into the mean if it is one of a budget's last; at its end the mean is the model."""
        share = self.axes.average
        averaged = max(1, round(share * self.budget)) if share else 0
        count = self.done - (self.budget - averaged)
        if count == 1:
            self.means = [p.clone() for p in parameters]
        elif count > 1:
            for mean_of, p in zip(self.means, parameters, strict=True):
                mean_of.lerp_(p, 1 / count)
        if count > 0 and self.done == self.budget:
            for mean_of, p in zip(self.means, parameters, strict=True):
                p.copy_(mean_of)

    def _backward(self, starts_B: np.ndarray) -> Tensor:
        """Gradients of a step's mean loss, in micro-batches; returns that loss without what was added to it."""
        count = self.axes.accumulate
        total: Tensor | None = None
        for index, rows in enumerate(starts_B.reshape(count, -1)):
            x_BxT, y_BxT = batch(self.text.train_N, share(self.place, rows), self.axes.seq_len, self.device)
            with hold(self.place, self.wrapped, index == count - 1):
                loss, added = losses(self.run, x_BxT, y_BxT, self.dtype)
                torch.autograd.backward((loss + added) / count)
            mine = loss.detach() / count
            total = mine if total is None else total + mine
        assert total is not None
        return total

    def _first(self) -> tuple[Tensor, Tensor]:
        """The first micro-batch of this process."""
        rows = self._starts[0][: self.axes.batch // self.axes.accumulate]
        return batch(self.text.train_N, share(self.place, rows), self.axes.seq_len, self.device)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, and those after it."""
        return {**self._weights(), "means": self.means, "finished": self.finished, "plateau": self.plateau}

    def load(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises RuntimeError or ValueError when it is another model's."""
        self._take_up(state)
        # What an earlier polybench kept has no branch.
        self.finished, self.plateau = int(state.get("finished", 0)), state.get("plateau")
        self.means = [mean_of.to(self.device) for mean_of in state.get("means", ())]

    def _weights(self) -> dict[str, Any]:
        return {"done": self.done, "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def _take_up(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = int(state["done"])


def losses(run: Callable[..., Any], x_BxT: Tensor, y_BxT: Tensor, dtype: str) -> tuple[Tensor, Tensor]:
    """(mean cross entropy in nats a token, what a mixture of experts adds to it)."""
    with torch.autocast(x_BxT.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
        loss, added = run(x_BxT, y_BxT)
    return loss, added


def batch(stream_N: Stream, starts_B: np.ndarray, time: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens (B, T) from each start, and the tokens one further on."""
    rows_BxT = np.stack([stream_N[start : start + time + 1] for start in starts_B]).astype(np.int64)
    both_BxT = torch.from_numpy(rows_BxT).to(device)
    return both_BxT[:, :-1], both_BxT[:, 1:]


def whole(value: Tensor) -> Tensor:
    """A sharded tensor put together; any other as it is."""
    return value.full_tensor() if hasattr(value, "full_tensor") else value
