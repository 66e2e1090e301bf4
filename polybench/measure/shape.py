"""The shape of a decoder: its sizes, and what follows from them in closed form, without building it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Literal

# Letters as in decoder.py: V vocabulary, L layers, D model width, F hidden width, G branches, T time.

EQUAL = 0.01  # how far from the parameters of a plain block those of another may be
_SLACK = 1e-9  # beyond the rounding of a division


def hidden_width(d_model: int, branches: int, ffn_width: int | None = None, parts: int = 1) -> int:
    """F of a block whose activation has G = `branches` branches, at equal parameters for every G.

    The block has (G + 1) D F weights, so a gated kind gets 2/3 of the width of a plain one, which is
    `ffn_width`, or 4 D over `parts`. F is rounded to a multiple of 8; where that would be more than 1 %
    off, of a smaller power of two. A plain `ffn_width` is taken as it stands. The narrowest blocks have no
    F that is near enough, which `unequal` tells.
    """
    plain = ffn_width or _rounded(4 * d_model / parts)
    return plain if branches == 1 else _rounded(2 * plain / (branches + 1))


def _rounded(exact: float) -> int:
    for multiple in (8, 4, 2):
        width = round(exact / multiple) * multiple
        if abs(width / exact - 1) <= EQUAL:
            return width
    return max(1, round(exact))


def unequal(branches: Collection[int], width: Callable[[int], int]) -> str:
    """Why one of the blocks with so many branches has not the parameters of a plain block within 1 %.

    `width(G)` is F of the block whose activation has G branches. Empty where all have, or where all are alike.
    """
    if len(set(branches)) < 2:
        return ""
    shares = {G: (G + 1) * width(G) / (2 * width(1)) - 1 for G in branches}
    G = max(shares, key=lambda G: abs(shares[G]))
    if abs(shares[G]) <= EQUAL + _SLACK:
        return ""
    return (
        f"no width of a block whose activation has {G} branches gives it the parameters of a plain one, which is "
        f"{width(1)} wide; the nearest, {width(G)}, has {abs(shares[G]):.2%} {'more' if shares[G] > 0 else 'fewer'}"
    )


def unequal_block(d_model: int, branches: Collection[int]) -> str:
    """Why dense blocks of this width have no equal parameters, and which width has; empty where they have."""
    why = unequal(branches, partial(hidden_width, d_model))
    return why and f"d_model {d_model}: {why}; take d_model {_nearest(d_model, branches, hidden_width)}"


def _nearest(value: int, branches: Collection[int], width: Callable[[int, int], int]) -> int:
    """The number nearest to this one with which `width(number, G)` gives equal parameters."""
    near = (value + sign * step for step in count(1) for sign in (1, -1) if value + sign * step > 0)
    return next(number for number in near if not unequal(branches, partial(width, number)))


@dataclass(frozen=True)
class Shape:
    """Sizes of a LLaMA-like decoder. `experts` = 0 is a dense one.

    `ffn_width` is the hidden width of a plain activation, of one expert where there are experts; gated
    kinds get 2/3 of it (`width`). None is 4 D, which the `top_k` experts of a token share: so a mixture
    uses as many feed-forward weights for a token as the dense decoder. `expert_coefficients`: one set of
    the activation's coefficients for all experts of a layer, or one for each.
    """

    layers: int
    d_model: int
    heads: int
    ffn_width: int | None = None
    tied: bool = True
    qk_norm: bool = False
    experts: int = 0
    top_k: int = 2
    expert_coefficients: Literal["shared", "own"] = "shared"

    def __post_init__(self) -> None:
        """Raises ValueError for sizes that cannot be."""
        if min(self.layers, self.d_model, self.heads, self.top_k) < 1 or self.experts < 0:
            raise ValueError(f"layers, d_model, heads and top_k are 1 or more, experts 0 or more: {self}")
        if self.ffn_width is not None and self.ffn_width < 1:
            raise ValueError(f"ffn_width is 1 or more, or left out for equal parameters: {self}")
        if self.d_model % (2 * self.heads):
            raise ValueError(
                f"d_model {self.d_model} cannot be divided into {self.heads} heads of even width; "
                f"take a multiple of {2 * self.heads}"
            )
        if self.experts and self.top_k > self.experts:
            raise ValueError(f"top_k {self.top_k} of {self.experts} experts cannot be chosen")

    def width(self, branches: int) -> int:
        """F of the block, or of one expert, for an activation of `branches` branches."""
        return hidden_width(self.d_model, branches, self.ffn_width, self.top_k if self.experts else 1)

    def unequal(self, branches: Collection[int]) -> str:
        """Why blocks in here have no equal parameters, and which `ffn_width` gives them; empty where they have."""
        if not (why := unequal(branches, self.width)):
            return ""
        said = f"ffn_width {self.ffn_width}" if self.ffn_width else f"d_model {self.d_model}"
        said += f" and top_k {self.top_k}" if self.experts and not self.ffn_width else ""
        better = _nearest(self.width(1), branches, lambda width, G: replace(self, ffn_width=width).width(G))
        return f"{said}: {why}; take ffn_width {better}"

    def parameters(self, vocabulary: int, branches: int = 1, coefficients: int = 0) -> int:
        """Trained numbers, where the activation has `coefficients` of its own; exact."""
        return self._parameters(vocabulary, branches, coefficients, self.experts)

    def active_parameters(self, vocabulary: int, branches: int = 1, coefficients: int = 0) -> int:
        """Those that one token meets: `top_k` experts of each layer, and all else."""
        return self._parameters(vocabulary, branches, coefficients, self.top_k)

    def flops_per_token(self, seq_len: int, vocabulary: int, branches: int = 1) -> int:
        """Operations of forward and backward: 6 a weight that multiplies the token, 12 L D T of attention.

        The count of arXiv:2204.02311, appendix B. The head is a product, the embedding's look-up is not;
        norms, activations and coefficients are left out.
        """
        products = self.layers * self._matrices(branches, self.top_k) + vocabulary * self.d_model
        return 6 * products + 12 * self.layers * self.d_model * seq_len

    def _matrices(self, branches: int, experts: int) -> int:
        """Weights of a layer's matrices, with so many of its experts."""
        D = self.d_model
        one = (branches + 1) * D * self.width(branches)
        return 4 * D * D + (self.experts * D + experts * one if self.experts else one)

    def _parameters(self, vocabulary: int, branches: int, coefficients: int, experts: int) -> int:
        sets = experts if self.experts and self.expert_coefficients == "own" else 1
        norms = (4 if self.qk_norm else 2) * self.d_model
        layer = self._matrices(branches, experts) + norms + sets * coefficients
        tables = (1 if self.tied else 2) * vocabulary * self.d_model
        return self.layers * layer + tables + self.d_model
