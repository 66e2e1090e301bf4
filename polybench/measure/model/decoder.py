"""A small LLaMA-like decoder: what an activation buys in loss is measured inside of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polybench.measure.model.build import Chosen, normal_
from polybench.measure.model.feed_forward import FeedForward, Mixture
from polybench.measure.model.operators import linear_cross_entropy, rms_norm
from polybench.measure.shape import Shape

# Dimension key: B batch, T time, D model width, H heads, K width of a head, V vocabulary, L layers.

EMBEDDING_STD = 0.02
ROPE_BASE = 10000.0  # arXiv:2104.09864


class RMSNorm(nn.Module):
    """x / rms(x) times a learned scale, in float32 at least."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        return self.scaled(x_D, self.scale)

    def scaled(self, x_D: Tensor, scale_D: Tensor) -> Tensor:
        wide = torch.promote_types(x_D.dtype, torch.float32)
        return rms_norm(x_D.to(wide), scale_D.to(wide), self.eps).to(x_D.dtype)


def rope(time: int, width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of rotary positions, (T, K/2) each."""
    speed_K = ROPE_BASE ** (-torch.arange(0, width, 2).float() / width)
    angle_TxK = torch.outer(torch.arange(time).float(), speed_K)
    return angle_TxK.cos(), angle_TxK.sin()


def paired(rows_D: Tensor, heads: int) -> Tensor:
    """Rows of each head in the order 0, K/2, 1, K/2 + 1, ...: side by side what a position turns together."""
    return rows_D.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def as_is(rows_D: Tensor, heads: int) -> Tensor:
    """Rows of each head as LLaMA orders them, for `turned_halves`."""
    return rows_D


def turned(x_BxTxD: Tensor, cos_TxK: Tensor, sin_TxK: Tensor) -> Tensor:
    """Turn each pair of neighbours by its position's angle: one complex product, a single pass over memory."""
    wide = torch.promote_types(x_BxTxD.dtype, torch.float32)
    angle_TxK = torch.complex(cos_TxK.to(wide), sin_TxK.to(wide))
    pairs = torch.view_as_complex(x_BxTxD.to(wide).unflatten(-1, (-1, 2)))
    angle_TxD = angle_TxK.repeat(1, pairs.shape[-1] // angle_TxK.shape[-1])
    return torch.view_as_real(pairs * angle_TxD).flatten(-2).to(x_BxTxD.dtype)


def turned_halves(x_BxTxD: Tensor, cos_TxK: Tensor, sin_TxK: Tensor) -> Tensor:
    """Turn numbers i and i + K/2 of each head: the real arithmetic that torch.compile fuses, unlike a complex one."""
    cos_Tx1xK, sin_Tx1xK = cos_TxK[:, None], sin_TxK[:, None]
    a, b = x_BxTxD.unflatten(-1, (-1, 2, cos_TxK.shape[-1])).unbind(-2)
    both = (a * cos_Tx1xK - b * sin_Tx1xK, a * sin_Tx1xK + b * cos_Tx1xK)
    return torch.stack(both, dim=-2).flatten(-3)


class Attention(nn.Module):
    """Causal self-attention with rotary positions, no biases.

    The weights stand as in LLaMA, where position t turns numbers i and i + K/2 of a head as a pair. The
    forward pass orders the rows that make q and k so that pairs are neighbours, unless it is compiled: the
    products of q and k stay the same. With `qk_norm`, q and k are normalised over their whole width
    before they are turned, as in OLMoE (arXiv:2409.02060).
    """

    def __init__(self, d_model: int, heads: int, qk_norm: bool):
        super().__init__()
        self.heads = heads
        self.w_qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.w_out = nn.Linear(d_model, d_model, bias=False)
        self.q_norm = RMSNorm(d_model) if qk_norm else None
        self.k_norm = RMSNorm(d_model) if qk_norm else None

    def forward(self, x_BxTxD: Tensor, cos_TxK: Tensor, sin_TxK: Tensor) -> Tensor:
        D, H = x_BxTxD.shape[-1], self.heads
        order, turn = (as_is, turned_halves) if torch.compiler.is_compiling() else (paired, turned)
        w_qk, w_v = self.w_qkv.weight.split((2 * D, D))
        qkv = functional.linear(x_BxTxD, torch.cat((order(w_qk, 2 * H), w_v)))
        qk, v = qkv.split((2 * D, D), dim=-1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = qk.chunk(2, dim=-1)
            q = self.q_norm.scaled(q, order(self.q_norm.scale, H))
            qk = torch.cat((q, self.k_norm.scaled(k, order(self.k_norm.scale, H))), dim=-1)
        q, k = turn(qk, cos_TxK, sin_TxK).chunk(2, dim=-1)
        q, k, v = (each.unflatten(-1, (H, -1)).transpose(1, 2) for each in (q, k, v))
        y_BxHxTxK = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out_BxTxD: Tensor = self.w_out(y_BxHxTxK.transpose(1, 2).flatten(-2))
        return out_BxTxD


class Layer(nn.Module):
    """x + attention(norm(x)), then x + ffn(norm(x)); with it the auxiliary loss of the feed-forward part."""

    def __init__(self, shape: Shape, activation: Chosen):
        super().__init__()
        self.attention_norm, self.ffn_norm = RMSNorm(shape.d_model), RMSNorm(shape.d_model)
        self.attention = Attention(shape.d_model, shape.heads, shape.qk_norm)
        width = shape.width(activation.branches)
        dense = not shape.experts
        self.ffn = FeedForward(shape.d_model, activation, width) if dense else Mixture(shape, activation)

    def forward(self, x_BxTxD: Tensor, cos_TxK: Tensor, sin_TxK: Tensor) -> tuple[Tensor, Tensor]:
        x_BxTxD = x_BxTxD + self.attention(self.attention_norm(x_BxTxD), cos_TxK, sin_TxK)
        out = self.ffn(self.ffn_norm(x_BxTxD))
        out_BxTxD, auxiliary = out if isinstance(out, tuple) else (out, x_BxTxD.new_zeros(()))
        return x_BxTxD + out_BxTxD, auxiliary


class Decoder(nn.Module):
    """Tokens (B, T) -> logits (B, T, V), or with targets to the loss; a tied head is the embedding."""

    def __init__(self, vocabulary: int, shape: Shape, time: int, activation: Chosen):
        super().__init__()
        self.shape = shape
        self.recompute = False  # whether backward computes every layer again instead of keeping what it needs
        self.embedding = nn.Embedding(vocabulary, shape.d_model)
        self.layers = nn.ModuleList(Layer(shape, activation) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.d_model)
        self.head = None if shape.tied else nn.Linear(shape.d_model, vocabulary, bias=False)
        cos_TxK, sin_TxK = rope(time, shape.d_model // shape.heads)
        self.register_buffer("cos_TxK", cos_TxK, persistent=False)
        self.register_buffer("sin_TxK", sin_TxK, persistent=False)

    def forward(self, tokens_BxT: Tensor, targets_BxT: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Logits without targets; with them (mean cross entropy in nats, auxiliary loss to add in training).

        Both are scalars, of float32, or of float64 where the model is. The auxiliary loss is the mean over
        layers of what their mixtures of experts ask for, 0 for a dense decoder.
        """
        T = tokens_BxT.shape[1]
        x_BxTxD = self.embedding(tokens_BxT)
        cos_TxK = self.get_buffer("cos_TxK")[:T].to(x_BxTxD.dtype)
        sin_TxK = self.get_buffer("sin_TxK")[:T].to(x_BxTxD.dtype)
        auxiliary = []
        for layer in self.layers:
            if self.recompute and torch.is_grad_enabled():
                x_BxTxD, loss = checkpoint(layer, x_BxTxD, cos_TxK, sin_TxK, use_reentrant=False)
            else:
                x_BxTxD, loss = layer(x_BxTxD, cos_TxK, sin_TxK)
            auxiliary.append(loss)
        head = self.embedding if self.head is None else self.head
        x_BxTxD = self.norm(x_BxTxD)
        if targets_BxT is None:
            return functional.linear(x_BxTxD, head.weight)
        loss = linear_cross_entropy(x_BxTxD.flatten(0, 1), head.weight, targets_BxT.flatten())
        return loss, torch.stack(auxiliary).mean().to(loss.dtype)

    def initialise(self, seed: int, zero_output: bool = False) -> Decoder:
        """Every matrix from (seed, its name), so that paired activations share what they can.

        With `zero_output` what attention and feed-forward parts add to the stream begins as 0, as the last
        matrix of a residual branch does in arXiv:1901.09321.
        """
        depth = len(self.layers)
        std = math.sqrt(2 / (5 * self.shape.d_model))  # arXiv:2411.03884's code
        normal_(self.embedding.weight, EMBEDDING_STD, seed, "embedding")
        if self.head is not None:
            normal_(self.head.weight, std, seed, "head")
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            normal_(layer.attention.w_qkv.weight, std, seed, f"layers.{i}.attention.w_qkv")
            normal_(layer.attention.w_out.weight, std / math.sqrt(2 * depth), seed, f"layers.{i}.attention.w_out")
            layer.ffn.initialise(seed, f"layers.{i}.ffn", depth)
            for output in (layer.attention.w_out, layer.ffn.w_out) if zero_output else ():
                nn.init.zeros_(output.weight if isinstance(output, nn.Linear) else output)
        return self
