"""Listening to a decoder's forward pass: what goes into and comes out of its layers and their activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from polybench.measure.model.build import Call
from polybench.measure.model.decoder import Decoder
from polybench.measure.range_metrics import SIDES
from polybench.measure.training.magnitudes import magnitudes

Told = TypeVar("Told")
Ranges = dict[str, dict[str, float]]  # by side of an activation, by what is told of it

# Dimension key: B batch, T time, D model width, V values of a tensor.


@dataclass(frozen=True)
class Heard:
    """The residual stream before and after a layer, and all values before and after its activation."""

    before_BxTxD: Tensor
    after_BxTxD: Tensor
    input_V: Tensor
    output_V: Tensor

    def magnitudes(self) -> Ranges:
        sides = zip(SIDES, (self.input_V, self.output_V), strict=True)
        return {side: magnitudes(values_V) for side, values_V in sides}


def heard(model: Decoder, tokens_BxT: Tensor, dtype: str, told: Callable[[Heard], Told]) -> list[Told]:
    """What is told of each layer in one forward pass; a layer's tensors are let go before the next layer runs."""
    found: list[Told] = []

    def watch(layer: Any, stack: ExitStack) -> None:
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []

        def hear(x: Tensor, y: Tensor) -> None:
            inputs.append(x.flatten())
            outputs.append(y.flatten())

        def leave(_: nn.Module, given: tuple[Any, ...], out: tuple[Tensor, ...]) -> None:
            found.append(told(Heard(given[0], out[0], _joined(inputs), _joined(outputs))))
            inputs.clear()
            outputs.clear()

        stack.enter_context(overheard(layer.ffn, hear))
        stack.callback(layer.register_forward_hook(leave).remove)

    with as_it_was(model), ExitStack() as stack:
        for layer in model.layers:
            watch(layer, stack)
        with torch.autocast(tokens_BxT.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            model(tokens_BxT)
    return found


@contextmanager
def overheard(ffn: nn.Module, hear: Callable[[Tensor, Tensor], None]) -> Iterator[None]:
    """Meanwhile `hear` gets every input and output of a feed-forward part's activation.

    A backend executes the activation by a call of its own, which passes by hooks of the module, so it is
    that call which is listened to: `_run` of a dense block, `_runs` of the experts of a mixture.
    """

    def listening(run: Call) -> Call:
        def call(x: Tensor) -> Tensor:
            y: Tensor = run(x)
            hear(x, y)
            return y

        return call

    kept: dict[str, Any] = {name: ffn.__dict__[name] for name in ("_run", "_runs") if name in ffn.__dict__}
    for name, run in kept.items():
        ffn.__dict__[name] = [listening(r) for r in run] if isinstance(run, list) else listening(run)
    try:
        yield
    finally:
        ffn.__dict__.update(kept)


@contextmanager
def as_it_was(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every module's mode and the generators are as they were."""
    modes = {module: module.training for module in model.modules()}
    device = next(model.parameters()).device
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            for module, mode in modes.items():
                module.training = mode


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
