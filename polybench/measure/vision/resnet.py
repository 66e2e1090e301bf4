"""A small residual network for images, whose activation is the one under test.

The three stages and their shortcuts are those of He's networks for CIFAR (arXiv:1512.03385, section 4.2), with
projections where the channels change and batch norm (arXiv:1502.03167) behind every convolution. Nothing is done to a
sum, so that shortcuts stay identities (arXiv:1603.05027): each block has one activation, between its convolutions, as
the feed-forward block of a decoder has between its products.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from polybench.measure.model.build import Chosen, normal_
from polybench.measure.resnet_shape import BlockShape, ResNetShape

# Dimension key: B images, C channels of the stream, F hidden channels, G branches, H height, W width, K classes.

Rows = Literal["channels", "channels and positions"]


class Block(nn.Module):
    """x + norm(conv(activation(norm(conv(x))))), C to G F to F to C channels, 3 x 3; with a stride where C changes."""

    def __init__(self, shape: BlockShape, hidden: int, activation: Chosen, rows: Rows):
        super().__init__()
        stride = 1 if shape.before == shape.after else 2
        self.conv_in = _conv(shape.before, activation.branches * hidden, stride=stride)
        self.norm_in = nn.BatchNorm2d(activation.branches * hidden)
        self.activation = activation.module()
        self.conv_out = _conv(hidden, shape.after)
        self.norm_out = nn.BatchNorm2d(shape.after)
        self.project = nn.Conv2d(shape.before, shape.after, 1, stride=stride, bias=False) if stride > 1 else None
        self.norm_project = nn.BatchNorm2d(shape.after) if stride > 1 else None
        self.rows = rows
        # Kept out of the module's attributes that torch walks: it wraps the activation itself.
        self.__dict__["_call"] = activation.executed(self.activation)

    def forward(self, x_BxCxHxW: Tensor) -> Tensor:
        hidden_BxFxHxW = self._activate(self.norm_in(self.conv_in(x_BxCxHxW)))
        if self.project is not None and self.norm_project is not None:
            x_BxCxHxW = self.norm_project(self.project(x_BxCxHxW))
        sum_BxCxHxW: Tensor = x_BxCxHxW + self.norm_out(self.conv_out(hidden_BxFxHxW))
        return sum_BxCxHxW

    def _activate(self, x_BxGFxHxW: Tensor) -> Tensor:
        """The activation takes the last dimension: the channels of one position, or all that there is of an image."""
        call = self.__dict__["_call"]
        if self.rows == "channels":
            by_position_BxFxHxW: Tensor = call(x_BxGFxHxW.movedim(1, -1)).movedim(-1, 1)
            return by_position_BxFxHxW
        # Channels come first in a row, so that its parts are the branches.
        by_image_BxFxHxW: Tensor = call(x_BxGFxHxW.flatten(1)).unflatten(1, (-1, *x_BxGFxHxW.shape[2:]))
        return by_image_BxFxHxW


class ResNet(nn.Module):
    """Logits (B, K) of images (B, C, H, W): a convolution, three stages of blocks, the mean over positions, a map."""

    def __init__(self, shape: ResNetShape, colours: int, classes: int, activation: Chosen, rows: Rows):
        super().__init__()
        hidden = shape.hidden(activation.branches)
        self.stem, self.norm = _conv(colours, shape.width), nn.BatchNorm2d(shape.width)
        self.blocks = nn.Sequential(
            *(Block(block, F, activation, rows) for block, F in zip(shape.blocks, hidden, strict=True))
        )
        self.head = nn.Linear(shape.blocks[-1].after, classes)

    def forward(self, x_BxCxHxW: Tensor) -> Tensor:
        logits_BxK: Tensor = self.head(self.blocks(self.norm(self.stem(x_BxCxHxW))).mean((2, 3)))
        return logits_BxK

    def initialise(self, seed: int) -> ResNet:
        """Weights of N(0, 2 / n) with n inputs (arXiv:1502.01852); norms as the identity, no bias in the head."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                normal_(module.weight, (2 / module.weight[0].numel()) ** 0.5, seed, name)
        nn.init.zeros_(self.head.bias)
        return self


def loss_of(model: nn.Module, x_BxCxHxW: Tensor, y_B: Tensor) -> Tensor:
    """Mean cross entropy in nats an image."""
    return functional.cross_entropy(model(x_BxCxHxW), y_B)


def _conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
