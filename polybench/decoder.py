"""A small LLaMA-like decoder: what an activation buys in loss is measured inside of it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polybench.build import normal_
from polybench.ffn import FeedForward
from polybench.shape import Shape

# Dimension key: B batch, T time, D model width, H heads, K width of a head, V vocabulary, L layers.

EMBEDDING_STD = 0.02
ROPE_BASE = 10000.0  # arXiv:2104.09864


class RMSNorm(nn.Module):
    """x / rms(x) times a learned scale (arXiv:1910.07467), in float32."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x_D: Tensor) -> Tensor:
        return functional.rms_norm(x_D.float(), self.scale.shape, self.scale.float(), self.eps).to(x_D.dtype)


def rope(time: int, width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of rotary positions, (T, K/2) each."""
    speed_K = ROPE_BASE ** (-torch.arange(0, width, 2).float() / width)
    angle_TxK = torch.outer(torch.arange(time).float(), speed_K)
    return angle_TxK.cos(), angle_TxK.sin()


def rotate(x_BxHxTxK: Tensor, cos_TxK: Tensor, sin_TxK: Tensor) -> Tensor:
    """Turn each pair (first half, second half) of a head by its position's angle."""
    a, b = x_BxHxTxK.chunk(2, dim=-1)
    return torch.cat((a * cos_TxK - b * sin_TxK, a * sin_TxK + b * cos_TxK), dim=-1)


class Attention(nn.Module):
    """Causal self-attention with rotary positions, no biases."""

    def __init__(self, d_model: int, heads: int):
        super().__init__()
        self.heads = heads
        self.w_qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.w_out = nn.Linear(d_model, d_model, bias=False)

    def forward(self, x_BxTxD: Tensor, cos_TxK: Tensor, sin_TxK: Tensor) -> Tensor:
        B, T, D = x_BxTxD.shape
        q, k, v = self.w_qkv(x_BxTxD).view(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, cos_TxK, sin_TxK), rotate(k, cos_TxK, sin_TxK)
        y_BxHxTxK = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out_BxTxD: Tensor = self.w_out(y_BxHxTxK.transpose(1, 2).reshape(B, T, D))
        return out_BxTxD


class Layer(nn.Module):
    """x + attention(norm(x)), then x + ffn(norm(x))."""

    def __init__(self, d_model: int, heads: int, spec: str, backend: str):
        super().__init__()
        self.attention_norm, self.ffn_norm = RMSNorm(d_model), RMSNorm(d_model)
        self.attention = Attention(d_model, heads)
        self.ffn = FeedForward(d_model, spec, backend)

    def forward(self, x_BxTxD: Tensor, cos_TxK: Tensor, sin_TxK: Tensor) -> Tensor:
        x_BxTxD = x_BxTxD + self.attention(self.attention_norm(x_BxTxD), cos_TxK, sin_TxK)
        out_BxTxD: Tensor = x_BxTxD + self.ffn(self.ffn_norm(x_BxTxD))
        return out_BxTxD


class Decoder(nn.Module):
    """Tokens (B, T) -> logits (B, T, V); the head is the embedding."""

    def __init__(self, vocabulary: int, shape: Shape, time: int, spec: str, backend: str = "eager"):
        super().__init__()
        d_model, layers, heads = shape.d_model, shape.layers, shape.heads
        self.recompute = False
        self.shape, self.time = shape, time
        self.embedding = nn.Embedding(vocabulary, d_model)
        self.layers = nn.ModuleList(Layer(d_model, heads, spec, backend) for _ in range(layers))
        self.norm = RMSNorm(d_model)
        cos_TxK, sin_TxK = rope(time, d_model // heads)
        self.register_buffer("cos_TxK", cos_TxK, persistent=False)
        self.register_buffer("sin_TxK", sin_TxK, persistent=False)

    def flops_per_token(self) -> int:
        return (
            6 * sum(p.numel() for p in self.parameters() if p.ndim >= 2)
            + 12 * self.shape.layers * self.shape.d_model * self.time
        )

    def forward(self, tokens_BxT: Tensor, targets_BxT: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        logits = self.logits(tokens_BxT)
        if targets_BxT is None:
            return logits
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return functional.cross_entropy(logits.flatten(0, 1), targets_BxT.flatten()), logits.new_zeros(())

    def logits(self, tokens_BxT: Tensor) -> Tensor:
        T = tokens_BxT.shape[1]
        x_BxTxD = self.embedding(tokens_BxT)
        cos_TxK = self.get_buffer("cos_TxK")[:T].to(x_BxTxD.dtype)
        sin_TxK = self.get_buffer("sin_TxK")[:T].to(x_BxTxD.dtype)
        for layer in self.layers:
            x_BxTxD = layer(x_BxTxD, cos_TxK, sin_TxK)
        return functional.linear(self.norm(x_BxTxD), self.embedding.weight)

    def initialise(self, seed: int) -> Decoder:
        """Every matrix from (seed, its name), so that paired activations share what they can."""
        depth = len(self.layers)
        normal_(self.embedding.weight, EMBEDDING_STD, seed, "embedding")
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Layer)
            std = math.sqrt(2 / (5 * layer.attention.w_out.in_features))
            normal_(layer.attention.w_qkv.weight, std, seed, f"layers.{i}.attention.w_qkv")
            normal_(layer.attention.w_out.weight, std / math.sqrt(2 * depth), seed, f"layers.{i}.attention.w_out")
            layer.ffn.initialise(seed, f"layers.{i}.ffn", depth)
        return self
