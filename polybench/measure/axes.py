"""Axes of kinds that measure one activation, its block or its decoder; no torch in here."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from polybench.kind import Axes
from polybench.measure.shape import Shape, unequal_block
from polybench.spec import Scalar

_OF_DECODER = ("layers", "seq_len", "vocabulary")
# Without these it is the plainest of decoders, as which cells are known that were measured before they could be said.
_PLAIN = {"heads": None, "ffn_width": None, "tied": True, "qk_norm": False, "compile": False, "autocast": False}


class LevelAxes(Axes):
    """An activation alone, in its feed-forward block at equal parameters, or in a whole decoder's step."""

    level: Literal["activation", "block", "decoder"] = Field(
        "activation",
        description="alone, in its feed-forward block, or in a whole decoder with its optimizer",
    )
    tokens: PositiveInt = Field(1024, description="rows: batch times time")
    d_model: PositiveInt = Field(256, description="width of the residual stream; the hidden width follows")
    layers: PositiveInt = Field(2, description="of the decoder")
    seq_len: PositiveInt = Field(64, description="of the decoder: tokens a sequence")
    vocabulary: PositiveInt = Field(1024, description="of the decoder: the size of its embedding and head")
    heads: PositiveInt | None = Field(
        None, description="of the decoder; if left out they are 64 wide where d_model allows"
    )
    ffn_width: PositiveInt | None = Field(
        None, description="of the decoder: hidden width; equal parameters if left out"
    )
    tied: bool = Field(True, description="of the decoder: whether the head is the embedding")
    qk_norm: bool = Field(False, description="of the decoder: whether queries and keys are normalised")
    compile: bool = Field(False, description="of the decoder: torch.compile of the whole model")
    autocast: bool = Field(
        False, description="of the decoder, for bfloat16: float32 weights under autocast, as in a training"
    )

    @field_validator("d_model")
    @classmethod
    def _wide_enough(cls, value: int) -> int:
        if value < 8:
            raise ValueError(f"d_model {value} is too narrow, 8 is the least")
        return value

    @model_validator(mode="after")
    def _whole_sequences(self) -> LevelAxes:
        if self.level == "decoder" and self.tokens % self.seq_len:
            raise ValueError(f"tokens {self.tokens} are no whole number of sequences of seq_len {self.seq_len}")
        if self.level == "decoder" and self.d_model % 2:
            raise ValueError(f"d_model {self.d_model} is odd, but rotary positions turn pairs")
        if self.level == "decoder":
            _ = self.shape  # which refuses heads that do not divide the width
        return self

    def idle(self) -> Collection[str]:
        """The decoder's own where there is no decoder."""
        return () if self.level == "decoder" else (*_OF_DECODER, *_PLAIN)

    def deciding(self) -> dict[str, Scalar]:
        """Without those too that leave the decoder plain."""
        values = super().deciding()
        if self.level != "decoder":
            return values
        plain = _PLAIN | ({"heads": self.heads} if self.heads == self._heads_of_64 else {})
        return {k: v for k, v in values.items() if k not in plain or v != plain[k]}

    def unequal(self, branches: Collection[int]) -> str:
        """An activation alone is as wide as in its block."""
        return self.shape.unequal(branches) if self.level == "decoder" else unequal_block(self.d_model, branches)

    @property
    def shape(self) -> Shape:
        """Of the decoder."""
        heads = self.heads or self._heads_of_64
        return Shape(self.layers, self.d_model, heads, self.ffn_width, self.tied, self.qk_norm)

    @property
    def _heads_of_64(self) -> int:
        """As many heads of width 64 or more as divide d_model into even widths."""
        return next(h for h in range(max(1, self.d_model // 64), 0, -1) if self.d_model % (2 * h) == 0)
