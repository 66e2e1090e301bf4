"""Sizes with a name, and one dial from which a size, its batch and its learning rate follow."""

from __future__ import annotations

from dataclasses import dataclass

from polybench.measure.shape import Shape

HEAD_WIDTHS, MANY_HEADS = (128, 64, 32), 8
ASPECT = 64  # width of the residual stream a layer: karpathy/nanochat, scripts/base_train.py
TOKENS_PER_WEIGHT = 20  # arXiv:2203.15556
# Best peak learning rate, and tokens a step, at C FLOPs of training: arXiv:2401.02954, section 3.1.
LR_AT_ONE, LR_POWER = 0.3118, -0.1250
BATCH_AT_ONE, BATCH_POWER = 0.2920, 0.3271


@dataclass(frozen=True)
class Preset:
    """A decoder with the vocabulary and the sequence length that it is meant for."""

    shape: Shape
    vocabulary: int
    seq_len: int


def heads_of(d_model: int) -> int:
    """Heads as wide as 128, 64 or 32, the widest that leaves 8 of them, else 32.

    The rule is ours; it gives GPT-2 small's 12 of 64 at 768, and the 16 of 128 of the paper's 1B at 2048.

    Raises:
        ValueError: 32 does not divide `d_model`.
    """
    if d_model % HEAD_WIDTHS[-1]:
        raise ValueError(f"heads are {HEAD_WIDTHS[-1]} wide at least, which does not divide d_model {d_model}")
    fits = (d_model // w for w in HEAD_WIDTHS if d_model % w == 0 and d_model // w >= MANY_HEADS)
    return next(fits, d_model // HEAD_WIDTHS[-1])


def recipe(shape: Shape, seq_len: int) -> tuple[int, float]:
    """(sequences a step, peak learning rate): DeepSeek's fits for a training of 20 tokens a weight.

    As there, weights and compute leave the embedding and the head out: C = 20 (12 L D^2) (72 L D^2 + 12 L D T).
    """
    weights = 12 * shape.layers * shape.d_model**2
    compute = TOKENS_PER_WEIGHT * weights * shape.flops_per_token(seq_len, vocabulary=0)
    batch = max(1, round(BATCH_AT_ONE * compute**BATCH_POWER / seq_len))
    return batch, LR_AT_ONE * compute**LR_POWER


def shape_of_depth(depth: int) -> Shape:
    """A decoder of `depth` layers, 64 wide a layer. Raises ValueError when `depth` is below 1."""
    if depth < 1:
        raise ValueError(f"depth is 1 or more, not {depth}")
    return Shape(depth, ASPECT * depth, heads_of(ASPECT * depth))


PRESETS = {
    "0.3M": Preset(Shape(4, 64, 2), 1024, 128),  # the prototype's: 67 CPU-seconds for a million tokens
    "1M": Preset(Shape(4, 128, 4), 1024, 128),  # the size that is timed against nanoGPT
    "3M": Preset(Shape(4, 256, 8), 1024, 256),
    "12M": Preset(Shape(6, 384, 6), 4096, 256),
    "30M": Preset(Shape(8, 512, 8), 8192, 512),
    "124M": Preset(Shape(12, 768, 12), 50304, 1024),  # GPT-2 small; the vocabulary of karpathy/nanoGPT
    "350M": Preset(Shape(24, 1024, 16), 50304, 1024),  # GPT-2 medium
    # The dense model of arXiv:2411.03884: BryceZhuo/PolyCom@0ed8ad4. Gated kinds are 5504 wide.
    "1.3B": Preset(Shape(24, 2048, 16, ffn_width=8256, tied=False), 32000, 4096),
    # Its mixture of experts, which is OLMoE's (arXiv:2409.02060). Gated experts are 1024 wide.
    "olmoe": Preset(
        Shape(16, 2048, 16, ffn_width=1536, tied=False, qk_norm=True, experts=64, top_k=8), 50304, 4096
    ),
}  # fmt: skip
