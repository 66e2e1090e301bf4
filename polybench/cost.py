"""What an activation declares about itself: the least it must move and compute, and what eager keeps."""

from __future__ import annotations

from dataclasses import dataclass

_WIDE = 4  # bytes of float32, in which activations that say so compute


@dataclass(frozen=True)
class Cost:
    """Counts for one element of the output, of width F, unless they say otherwise.

    `forward_flops`, `backward_flops`: operations of the formula with every power and sum made once; each
    of + - * / compare exp erf tanh counts one. `kept`: tensors of the width F that eager autograd keeps
    for backward; `kept_rows`: numbers it keeps a row; `kept_once`: numbers it keeps where parameters are
    converted; `kept_made`: numbers it keeps of what it makes of parameters. `wide`: computed, and kept,
    in float32 at least.
    """

    branches: int
    forward_flops: int
    backward_flops: int
    kept: int
    kept_rows: int = 0
    kept_once: int = 0
    kept_made: int = 0
    wide: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for counts that cannot be."""
        counts = (self.forward_flops, self.backward_flops, self.kept, self.kept_rows, self.kept_once, self.kept_made)
        if self.branches < 1 or not all(isinstance(c, int) and c >= 0 for c in counts):
            raise ValueError(
                f"a cost is made of whole numbers that are not negative, and of one branch at least: {self}"
            )

    @property
    def forward_moves(self) -> int:
        """Tensors of width F that any kernel must move: it reads the G branches and writes the output."""
        return self.branches + 1

    @property
    def backward_moves(self) -> int:
        """It reads the branches and the output's gradient and writes the branches' gradients."""
        return 2 * self.branches + 1

    def least_bytes(self, rows: int, width: int, size: int) -> int:
        """Bytes of forward and backward when every tensor passes once; `size` is bytes an element."""
        return (self.forward_moves + self.backward_moves) * rows * width * size

    def flops(self, rows: int, width: int) -> int:
        """Operations of forward and backward."""
        return (self.forward_flops + self.backward_flops) * rows * width

    def saved_bytes(self, rows: int, width: int, size: int) -> int:
        """Bytes that eager autograd keeps between forward and backward, parameters left out."""
        element = max(size, _WIDE) if self.wide else size
        once = self.kept_made + (self.kept_once if element != size else 0)
        return (rows * (self.kept * width + self.kept_rows) + once) * element
