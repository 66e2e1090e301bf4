"""Axes of kinds that measure one activation, its block or its decoder; no torch in here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from polybench.kind import Axes
from polybench.spec import Scalar


class LevelAxes(Axes):
    """An activation alone, in its feed-forward block at equal parameters, or in a whole decoder's step."""

    level: Literal["activation", "block", "decoder"] = Field(
        "activation", description="alone, in its feed-forward block, or in forward and backward of a whole decoder"
    )
    tokens: PositiveInt = Field(1024, description="rows: batch times time")
    d_model: PositiveInt = Field(256, description="width of the residual stream; the hidden width follows")
    layers: PositiveInt = Field(2, description="of the decoder; heads are 64 wide where d_model allows")
    seq_len: PositiveInt = Field(64, description="of the decoder: tokens a sequence")
    vocabulary: PositiveInt = Field(1024, description="of the decoder, whose head is its embedding")

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
        return self

    def deciding(self) -> dict[str, Scalar]:
        """Without the decoder's own axes where there is no decoder."""
        values = self.model_dump()
        if self.level == "decoder":
            return values
        return {k: v for k, v in values.items() if k not in ("layers", "seq_len", "vocabulary")}

    @property
    def heads(self) -> int:
        """As many heads of width 64 or more as divide d_model into even widths."""
        return next(h for h in range(max(1, self.d_model // 64), 0, -1) if self.d_model % (2 * h) == 0)
