"""Modules from names: an activation, its backend, and parameters that start from their own names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from polybench.errors import RegistryError
from polybench.registry import activations, backends
from polybench.spec import canonical

Call = Callable[..., Any]


def activation(text: str, **options: object) -> nn.Module:
    """The activation called `name` or `name(option=value)`: (..., G*F) -> (..., F).

    Raises:
        RegistryError: unknown name or option, an option out of range, or a broken plug-in.
    """
    from polybench.spec import Spec

    given = Spec.parse(text)
    merged = Spec.of(given.name, {**dict(given.options), **options})  # type: ignore[dict-item]
    spec = canonical(str(merged))
    module = activations.load(spec.name).object(**dict(spec.options))
    if not isinstance(module, nn.Module):
        raise RegistryError(f"activation {spec.name!r} is no torch.nn.Module")
    return module


def branches(text: str) -> int:
    """G: how many tensors of width F the activation takes, 1 unless it is gated."""
    return int(activations.load(canonical(text).name).facts.get("branches", 1))


def executed(call: Call, backend: str) -> Call:
    """`call` by way of a backend. Raises Unsupported when this machine cannot."""
    served: Call = backends.load(backend).object(call)
    return served


def generator(*key: object) -> torch.Generator:
    """A generator that depends on its key alone, not on what was drawn before."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def normal_(parameter: torch.Tensor, std: float, seed: int, name: str) -> None:
    """Fill with N(0, std^2) from (seed, name): same-named tensors of one shape start equal."""
    with torch.no_grad():
        parameter.copy_(torch.randn(parameter.shape, generator=generator(seed, name)) * std)
