"""The optimizer that every training here takes: AdamW over three groups, gradients clipped beforehand.

Betas (0.9, 0.95), eps 1e-8 and no decay but of matrices are the set-up of arXiv:2411.03884's code.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BETAS, EPS = (0.9, 0.95), 1e-8


def adamw(model: nn.Module, rate: float, weight_decay: float, coefficient_rate: float = 1.0) -> torch.optim.AdamW:
    """Over the `groups` of the model, one fused kernel a device."""
    parts = groups(model, weight_decay, coefficient_rate)
    return torch.optim.AdamW(parts, lr=rate, betas=BETAS, eps=EPS, fused=True)


def update(optimizer: torch.optim.Optimizer, clip: float) -> Tensor:
    """Clip the gradients, take the step and drop them; returns their norm before it was clipped."""
    norm = nn.utils.clip_grad_norm_(trained_by(optimizer), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def trained_by(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Its own parameters: after an evaluation fully_shard shows some of the model's as whole ones without gradient."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def groups(model: nn.Module, weight_decay: float, coefficient_rate: float = 1.0) -> list[dict[str, Any]]:
    """Matrices with decay; norms and other vectors without; what the activation learns apart, at its own rate."""
    parts: dict[str, list[nn.Parameter]] = {"matrices": [], "vectors": [], "coefficients": []}
    for name, parameter in model.named_parameters():
        part = "coefficients" if "activation" in name.split(".") else "matrices" if parameter.ndim >= 2 else "vectors"
        parts[part].append(parameter)
    settings = {"matrices": (weight_decay, 1.0), "vectors": (0.0, 1.0), "coefficients": (0.0, coefficient_rate)}
    return [
        {"params": found, "weight_decay": settings[part][0], "scale": settings[part][1]}
        for part, found in parts.items()
        if found
    ]
