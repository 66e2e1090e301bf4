"""Two operators of the decoder in fewer passes over memory than torch takes on the CPU; no head holds all logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# Dimension key: N rows, R rows taken at a time, D width of a row, V vocabulary.

_LOGITS = 2**19  # that are made at a time: 2 MiB in float32
_LEAST_ROWS = 128  # at a time, else the products of a large vocabulary are slow
_MOST_PARTS = 16  # that the rows are taken in, for torch.compile unrolls them


def rms_norm(x_D: Tensor, scale_D: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) times the scale (arXiv:1910.07467), over the last dimension.

    Where torch has a kernel of its own, on a GPU or compiled, that is what runs.
    """
    if x_D.is_cuda or torch.compiler.is_compiling():
        return functional.rms_norm(x_D, scale_D.shape, scale_D, eps)
    out_D: Tensor = _RMSNorm.apply(x_D, scale_D, eps)
    return out_D


def linear_cross_entropy(x_NxD: Tensor, weight_VxD: Tensor, targets_N: Tensor) -> Tensor:
    """Mean of -log softmax(x @ weight.T)[target], a scalar in nats, of float32 or of float64 where the logits are.

    On a GPU or in a narrower type it is torch's own, which makes all logits at once.
    """
    narrow = x_NxD.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled(x_NxD.device.type)
    if narrow or x_NxD.is_cuda:
        logits_NxV = functional.linear(x_NxD, weight_VxD)
        wide = torch.promote_types(logits_NxV.dtype, torch.float32)
        return functional.cross_entropy(logits_NxV.to(wide), targets_N)
    if not torch.is_grad_enabled():  # a parameter asks for its gradient all the same
        weight_VxD = weight_VxD.detach()
    out: Tensor = _LinearCrossEntropy.apply(x_NxD, weight_VxD, targets_N)
    return out


class _RMSNorm(torch.autograd.Function):
    """Keeps x and 1 / rms(x), a number a row."""

    @staticmethod
    def forward(ctx: Any, x_D: Tensor, scale_D: Tensor, eps: float) -> Tensor:
        size_1 = torch.linalg.vector_norm(x_D, dim=-1, keepdim=True)
        inverse_1 = size_1.square_().div_(x_D.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x_D, scale_D, inverse_1)
        return (x_D * inverse_1).mul_(scale_D)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_D: Tensor) -> tuple[Tensor, Tensor, None]:
        """With r = 1 / rms: dx = r s dy - x r^3 mean(s dy x), ds = sum over rows of r dy x."""
        x_D, scale_D, inverse_1 = ctx.saved_tensors
        D = x_D.shape[-1]
        with torch.autocast(x_D.device.type, enabled=False):
            each_NxD = (dy_D * x_D).view(-1, D)
            sum_1 = (each_NxD @ scale_D).view_as(inverse_1)
            dscale_D = inverse_1.view(-1) @ each_NxD
        dx_D = (dy_D * scale_D).mul_(inverse_1).addcmul_(x_D, sum_1 * inverse_1**3, value=-1 / D)
        return dx_D, dscale_D, None


class _LinearCrossEntropy(torch.autograd.Function):
    """Makes logits some rows at a time, and both gradients with them, so that they never leave the cache.

    With p = softmax(x W^T) and y the targets, one-hot: dx = (p - y) W / N, dW = (p - y)^T x / N. The idea of making
    them in the forward pass is that of arXiv:2410.10989.
    """

    @staticmethod
    def forward(ctx: Any, x_NxD: Tensor, weight_VxD: Tensor, targets_N: Tensor) -> Tensor:
        rows = max(_LEAST_ROWS, _LOGITS // len(weight_VxD), len(x_NxD) // _MOST_PARTS)
        wanted = any(ctx.needs_input_grad)
        dx_NxD = torch.empty_like(x_NxD) if wanted else x_NxD
        dweight_VxD = torch.zeros_like(weight_VxD) if wanted else weight_VxD
        total = x_NxD.new_zeros(())
        for x_RxD, target_R, dx_RxD in zip(x_NxD.split(rows), targets_N.split(rows), dx_NxD.split(rows), strict=True):
            logits_RxV = x_RxD @ weight_VxD.T
            target_Rx1 = target_R[:, None]
            most_Rx1, logit_Rx1 = logits_RxV.amax(1, keepdim=True), logits_RxV.gather(1, target_Rx1)
            p_RxV = logits_RxV.softmax(1)
            # The likeliest has p = 1 / sum exp(logit - most), which is never small.
            total += (most_Rx1 - p_RxV.amax(1, keepdim=True).log() - logit_Rx1).sum()
            if wanted:
                p_RxV.scatter_add_(1, target_Rx1, p_RxV.new_full((1, 1), -1.0).expand_as(target_Rx1))
                torch.mm(p_RxV, weight_VxD, out=dx_RxD)
                dweight_VxD.addmm_(p_RxV.T, x_RxD)
        ctx.rows = len(x_NxD)
        ctx.save_for_backward(dx_NxD, dweight_VxD)
        return total / len(x_NxD)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        dx_NxD, dweight_VxD = ctx.saved_tensors
        each = dy / ctx.rows
        return dx_NxD * each, dweight_VxD * each, None
