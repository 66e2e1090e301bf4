"""From names to modules: an activation, its backend, and parameters that start from their own names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from polybench.errors import RegistryError, Wrong
from polybench.registry import activations, backends
from polybench.spec import Spec, canonical

Call = Callable[..., Any]
_PROBE = 4  # numbers of width F that a new module is tried on


@dataclass(frozen=True)
class Chosen:
    """An activation and what executes it, looked up by name once; every layer of a model takes both from here.

    `branches` is G: how many tensors of width F the activation takes, 1 unless it is gated. `compiles` says that the
    backend claims to run nothing but compiled code, to which it is held.
    """

    spec: Spec
    branches: int
    make: Callable[..., Any]
    backend: Callable[[Call], Call]
    compiles: bool = False

    def module(self) -> nn.Module:
        """A new one, (..., G*F) -> (..., F).

        Raises:
            RegistryError: a plug-in makes something else.
            Wrong: it gives another shape.
        """
        made = self.make(**dict(self.spec.options))
        if not isinstance(made, nn.Module):
            raise RegistryError(f"activation {self.spec.name!r} is no torch.nn.Module")
        self._hold(made)
        return made

    @torch.no_grad()
    def _hold(self, made: nn.Module) -> None:
        """Raises Wrong where it gives another shape; what it raises itself is told where it is measured."""
        try:
            with torch.random.fork_rng(devices=[]):
                found = tuple(made(torch.zeros(1, self.branches * _PROBE)).shape)
        except Exception:
            return
        if found != (1, _PROBE):
            raise Wrong(
                f"activation {self.spec.name!r} makes {found} of (1, {self.branches * _PROBE}), where "
                f"(1, {_PROBE}) is wanted; it is registered with branches={self.branches}"
            )

    def executed(self, module: nn.Module) -> Call:
        """Its call by way of the backend. Raises Unsupported when this machine cannot."""
        return self.backend(module)


@dataclass(frozen=True)
class Executed:
    """An activation where it sits: `call` executes it by a backend, on inputs (N, G*F) of `width` G*F."""

    module: nn.Module
    call: Call
    width: int


def chosen(text: str, backend: str = "eager") -> Chosen:
    """The activation called `name` or `name(option=value)`, to be executed by a backend.

    Raises:
        RegistryError: unknown name or option, an option out of range, or a broken plug-in.
    """
    spec = canonical(text)
    loaded = activations.load(spec.name)
    by = backends.load(backend)
    return Chosen(spec, int(loaded.facts.get("branches", 1)), loaded.object, by.object, compiles(backend))


def compiles(backend: str) -> bool:
    """Whether a backend says that it compiles what it executes. Raises RegistryError as `chosen` does."""
    return bool(backends.load(backend).facts.get("compiles"))


def described(module: Call, known: tuple[type, ...]) -> str:
    """A module whose class is none of these, for a sentence; one that extends such a class may compute otherwise."""
    name = type(module).__name__
    parent = next((each.__name__ for each in known if isinstance(module, each)), "")
    return f"{name}, which extends {parent} and may compute something else" if parent else name


def activation(text: str, **options: Any) -> nn.Module:
    """The activation as a module, with these options too. Raises RegistryError as `chosen` does."""
    given = canonical(text)
    return chosen(str(Spec.of(given.name, {**dict(given.options), **options}))).module()


def generator(*key: object) -> torch.Generator:
    """A generator that depends on its key alone, not on what was drawn before."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def normal_(parameter: torch.Tensor, std: float, seed: int, name: str) -> None:
    """Fill with N(0, std^2) from (seed, name): same-named tensors of one shape start equal."""
    with torch.no_grad():
        parameter.copy_(torch.randn(parameter.shape, generator=generator(seed, name)) * std)
