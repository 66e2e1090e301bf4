"""Axes that several kinds share; no torch in here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from polybench.corpus import Tokenizer
from polybench.kind import Axes, Corpus, Protocol
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


class LanguageAxes(Axes):
    """A decoder, its text and its training: everything that decides the loss."""

    corpus: Corpus = Field("sotu", description="sotu, stdlib, or text:path/or/glob")
    tokenizer: Tokenizer = Field("bytes", description="bytes, or bpe-N for a vocabulary of N")
    d_model: PositiveInt = Field(64, description="width of the residual stream")
    layers: PositiveInt = Field(2, description="number of layers")
    heads: PositiveInt = Field(2, description="attention heads; d_model / heads must be even")
    seq_len: PositiveInt = Field(64, description="tokens a sequence")
    batch: PositiveInt = Field(16, description="sequences a step")
    steps: PositiveInt = Field(200, description="optimizer steps")
    lr: PositiveFloat = Field(3e-3, description="peak learning rate")
    weight_decay: float = Field(0.1, ge=0, description="decay of matrices; vectors and coefficients have none")
    eval_tokens: PositiveInt = Field(16384, description="held-out tokens that are evaluated")

    @model_validator(mode="after")
    def _heads_divide(self) -> LanguageAxes:
        if self.d_model % self.heads or (self.d_model // self.heads) % 2:
            raise ValueError(
                f"d_model {self.d_model} cannot be divided into {self.heads} heads of even width; "
                f"take a multiple of {2 * self.heads}"
            )
        return self

    @property
    def tokens(self) -> int:
        """Tokens that are trained on."""
        return self.steps * self.batch * self.seq_len


class LanguageProtocol(Protocol):
    """How often the held-out loss is looked at."""

    evaluations: PositiveInt = Field(8, description="looks at the held-out loss, evenly spaced, the last at the end")


def training_seconds(axes: LanguageAxes) -> float:
    """A guess from the multiplications of a training step: 6 a weight and token, at 25 GFLOP/s a core."""
    weights = 12 * axes.layers * axes.d_model**2 + 300 * axes.d_model
    overhead = axes.steps * axes.layers * 4e-3
    return 1 + overhead + 6 * weights * axes.tokens / 2.5e10
