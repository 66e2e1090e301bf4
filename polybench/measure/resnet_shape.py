"""The shape of a small residual network: its channels, and its parameters in closed form, without building it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from polybench.measure.shape import EQUAL

# Letters as in vision/resnet.py: C channels of the stream, F hidden channels of a block, G branches.

STAGES = 3  # each of half the height and width of the one before, and of twice the channels: arXiv:1512.03385, 4.2
KERNEL = 3 * 3


class BlockShape(NamedTuple):
    """Channels of the stream before and after a block."""

    before: int
    after: int

    @property
    def shortcut(self) -> int:
        """Parameters of the projection beside a block that changes the stream: 1 x 1 weights and a norm."""
        return 0 if self.before == self.after else self.before * self.after + 2 * self.after

    def of_channel(self, branches: int) -> int:
        """Parameters that one hidden channel brings: G kernels in and their norm, one kernel out."""
        return KERNEL * (branches * self.before + self.after) + 2 * branches


@dataclass(frozen=True)
class ResNetShape:
    """Channels of the first stage and blocks a stage: He's networks for CIFAR have 6 `depth` + 2 layers."""

    width: int
    depth: int

    @property
    def blocks(self) -> tuple[BlockShape, ...]:
        """From the first to the last. The first of a later stage halves height and width."""
        C = [self.width * 2**stage for stage in range(STAGES) for _ in range(self.depth)]
        return tuple(map(BlockShape, [self.width, *C], C))

    def hidden(self, branches: int) -> tuple[int, ...]:
        """F of every block, for equal parameters whatever G is.

        A plain block has as many hidden channels as the stream behind it, a gated one about two thirds. What
        rounding leaves over in one block is made up for in the one before it, which has fewer parameters a channel.
        """
        owed, found = 0.0, []
        for block in reversed(self.blocks):
            owed += block.after * block.of_channel(1)
            found.append(max(1, round(owed / block.of_channel(branches))))
            owed -= found[-1] * block.of_channel(branches)
        return tuple(reversed(found))

    def parameters(self, colours: int, classes: int, branches: int = 1, coefficients: int = 0) -> int:
        """Trained numbers, where each activation has `coefficients` of its own; exact."""
        last = self.blocks[-1].after
        stem, head = KERNEL * colours * self.width + 2 * self.width, (last + 1) * classes
        return stem + head + self._of_blocks(branches) + len(self.blocks) * coefficients

    def multiplications(self, height: int, width: int, colours: int = 1) -> int:
        """Those of one plain forward pass over an image, but for the last layer."""
        total, (h, w) = KERNEL * colours * self.width * height * width, (height, width)
        for block in self.blocks:
            if block.before != block.after:
                h, w = -(-h // 2), -(-w // 2)
            projection = block.before * block.after if block.shortcut else 0
            total += h * w * (KERNEL * block.after * (block.before + block.after) + projection)
        return total

    def unequal(self, branches: Collection[int]) -> str:
        """Why activations with so many branches have no equal parameters here, and which width gives them."""
        if not (why := self._unequal(branches)):
            return ""
        near = (self.width + sign * step for step in count(1) for sign in (1, -1) if self.width + sign * step > 0)
        better = next(width for width in near if not replace(self, width=width)._unequal(branches))
        return f"width {self.width}: {why}; take width {better}"

    def _unequal(self, branches: Collection[int]) -> str:
        plain = self._of_blocks(1)
        shares = {G: self._of_blocks(G) / plain - 1 for G in branches} if len(set(branches)) > 1 else {}
        G = max(shares, key=lambda G: abs(shares[G]), default=1)
        if abs(shares.get(G, 0.0)) <= EQUAL:
            return ""
        more = "more" if shares[G] > 0 else "fewer"
        return f"blocks of an activation with {G} branches have {abs(shares[G]):.2%} {more} parameters than plain ones"

    def _of_blocks(self, branches: int) -> int:
        pairs = zip(self.blocks, self.hidden(branches), strict=True)
        return sum(F * block.of_channel(branches) + 2 * block.after + block.shortcut for block, F in pairs)
