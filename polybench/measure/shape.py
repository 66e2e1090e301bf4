"""The shape of a decoder: its sizes, and what follows from them in closed form, without building it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Letters as in decoder.py: V vocabulary, L layers, D model width, F hidden width, G branches, T time.

EQUAL = 0.01  # how far from equal the parameters of two blocks may be


def hidden_width(d_model: int, branches: int, ffn_width: int | None = None, parts: int = 1) -> int:
    """F of a block whose activation has G = `branches` branches, at equal parameters for every G.

    The block has (G + 1) D F weights, so a gated kind gets 2/3 of the width of a plain one, which is
    `ffn_width`, or 4 D over `parts`. F is rounded to a multiple of 8; where that would be more than 1 %
    off, of a smaller power of two. A plain `ffn_width` is taken as it stands.
    """
    if ffn_width and branches == 1:
        return ffn_width
    exact = 2 * (ffn_width or 4 * d_model / parts) / (branches + 1)
    for multiple in (8, 4, 2):
        width = round(exact / multiple) * multiple
        if abs(width / exact - 1) <= EQUAL:
            return width
    return max(1, round(exact))


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
