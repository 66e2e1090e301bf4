"""A residual network is trained on images: shuffled anew every epoch, AdamW, gradients clipped."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from polybench.errors import Diverged, Unsupported
from polybench.measure.annealing import annealed, warm_steps
from polybench.measure.instruments.timer import clock_of
from polybench.measure.model.build import Chosen, generator
from polybench.measure.model.optimizer import adamw, update
from polybench.measure.vision.images import Images, Side
from polybench.measure.vision.resnet import ResNet, loss_of
from polybench.measure.vision_axes import VisionAxes

# Dimension key: N images, B images of a step, C colours, H height, W width, K classes.

_AT_ONCE = 512  # held-out images that are looked at together


@dataclass(frozen=True)
class Score:
    """Of the held-out images: mean cross entropy in nats, and the share whose class was the most likely one."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Loaded:
    """A side where the model is, its pixels still bytes."""

    x_NxCxHxW: Tensor
    y_N: Tensor

    @classmethod
    def of(cls, side: Side, device: torch.device) -> Loaded:
        pixels, classes = (np.array(side.x_NxCxHxW), side.y_N.astype(np.int64))
        return cls(torch.from_numpy(pixels).to(device), torch.from_numpy(classes).to(device))

    def __len__(self) -> int:
        return len(self.y_N)


def moments(side: Side) -> np.ndarray:
    """Mean and standard deviation of the pixels, colour by colour (2, C), the second 1 where all are alike."""
    found = []
    for x_NxHxW in side.x_NxCxHxW.swapaxes(0, 1):
        values, count = np.arange(256.0), np.bincount(x_NxHxW.ravel(), minlength=256)
        mean = np.average(values, weights=count)
        found.append((mean, np.average((values - mean) ** 2, weights=count) ** 0.5 or 1.0))
    return np.array(found).T


class Training:
    """Images, a model and its optimizer; `seconds` are those of the steps so far, on one CPU thread its CPU time.

    Raises:
        Unsupported: fewer images than one step takes.
    """

    def __init__(
        self, axes: VisionAxes, of: Images, activation: Chosen, rate: float, seed: int, device: str, dtype: str
    ):
        if len(of.train) < axes.batch:
            raise Unsupported(f"batch {axes.batch} is more than the {len(of.train)} images that are trained on")
        self.axes, self.rate, self.seconds = axes, rate, 0.0
        self._device, self._dtype = torch.device(device), getattr(torch, dtype)
        model = ResNet(axes.shape, of.colours, of.classes, activation, axes.normalised)
        self.model = model.initialise(seed).to(self._device, self._dtype)
        self._train, self._held_out = (Loaded.of(side, self._device) for side in (of.train, of.held_out))
        moments_2xC = torch.from_numpy(moments(of.train)).to(self._device, self._dtype)
        self._mean_Cx1x1, self._std_Cx1x1 = moments_2xC[..., None, None]
        self._order, self._optimizer = generator(seed, "images"), adamw(self.model, rate, axes.weight_decay)

    @property
    def steps_an_epoch(self) -> int:
        """Whole ones: what is left over is drawn anew in the next epoch."""
        return len(self._train) // self.axes.batch

    @property
    def steps(self) -> int:
        return self.axes.epochs * self.steps_an_epoch

    def warm_up(self) -> None:
        """A forward and backward pass that leaves nothing behind: compiling, and first touches."""
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.train()
        torch.autograd.backward(loss_of(self.model, *self._batch(self._train, slice(0, self.axes.batch))))
        self._optimizer.zero_grad(set_to_none=True)
        self.model.load_state_dict(before)  # the running means of the batch norms

    def run(self) -> Iterator[float]:
        """Take every step; its loss in nats an image. Raises Diverged when that is no finite number."""
        clock = clock_of(self._device.type, torch.get_num_threads())
        warm = warm_steps(self.axes.warm_up, self.steps)
        for done, rows_B in enumerate(self._batches()):
            started = clock()
            for group in self._optimizer.param_groups:
                group["lr"] = self.rate * annealed(done, self.steps, warm)
            self.model.train()
            loss = loss_of(self.model, *self._batch(self._train, rows_B))
            torch.autograd.backward(loss)
            update(self._optimizer, self.axes.clip)
            value = loss.item()
            self.seconds += clock() - started
            if not math.isfinite(value):
                raise Diverged(f"the loss became {value} at step {done + 1} of {self.steps}")
            yield value

    @torch.no_grad()
    def score(self) -> Score:
        """Of all that is held out, with the running means of the batch norms."""
        self.model.eval()
        loss, right, count = 0.0, 0, len(self._held_out)
        for start in range(0, count, _AT_ONCE):
            x_BxCxHxW, y_B = self._batch(self._held_out, slice(start, start + _AT_ONCE))
            logits_BxK = self.model(x_BxCxHxW).double()
            loss += float(functional.cross_entropy(logits_BxK, y_B, reduction="sum"))
            right += int((logits_BxK.argmax(1) == y_B).sum())
        return Score(loss / count, right / count)

    def _batches(self) -> Iterator[Tensor]:
        for _ in range(self.axes.epochs):
            order_N = torch.randperm(len(self._train), generator=self._order).to(self._device)
            yield from order_N[: self.steps_an_epoch * self.axes.batch].split(self.axes.batch)

    def _batch(self, side: Loaded, rows: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Images and their classes; pixels less the mean of what is trained on, over its standard deviation."""
        x_BxCxHxW = side.x_NxCxHxW[rows].to(self._dtype)
        return (x_BxCxHxW - self._mean_Cx1x1) / self._std_Cx1x1, side.y_N[rows]
