"""Makes what is executed: an activation, its block or a whole decoder, over buffers that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.errors import TrialError
from polybench.measure.axes import LevelAxes
from polybench.measure.model.build import activation, branches, executed
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.feed_forward import FeedForward
from polybench.measure.shape import Shape, hidden_width

# Dimension key: N tokens, B batch, T time, D model width, F hidden width, G branches, V vocabulary, L layers.

_PRODUCT_ROWS = 256  # of the product beside an activation alone: enough for the full rate of a core
_TINY = {"tokens": 1, "d_model": 8, "seq_len": 1, "vocabulary": 8}  # where overhead is all there is


@dataclass(frozen=True)
class Arm:
    """One thing to execute: `forward()` gives an output, whose gradients go to `inputs`.

    `activation` is the activation inside, `call` that which executes it, on inputs (N, G*F) of `width`
    G*F. `least_bytes` is the least that forward and backward move, 0 where nothing is declared;
    `flops` what they compute: all of the activation's operations, or the products of a block or decoder.
    """

    forward: Callable[[], Tensor]
    inputs: tuple[Tensor, ...]
    gradient: Tensor  # of the output; given, so that no reduction is timed
    module: nn.Module
    activation: nn.Module
    call: Callable[..., Tensor]
    width: int
    least_bytes: int
    flops: int

    def once(self) -> None:
        torch.autograd.grad(self.forward(), self.inputs, self.gradient)


@dataclass(frozen=True)
class Yardstick:
    """A fixed piece of work: a call, and the bytes it moves or the operations it does."""

    call: Callable[[], object]
    amount: int


class Workshop:
    """Activations of one width read the very same input, so that none gets a better place."""

    def __init__(self, axes: LevelAxes, dtype: str, device: str):
        self.axes, self.device = axes, device
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._buffers: dict[tuple[int, bool], Tensor] = {}

    def arm(self, spec: str, backend: str) -> Arm:
        """Raises Unsupported when the backend cannot serve this machine."""
        make = {"activation": self._alone, "block": self._block, "decoder": self._decoder}[self.axes.level]
        return make(spec, backend)

    def _alone(self, spec: str, backend: str) -> Arm:
        G = branches(spec)
        F = hidden_width(self.axes.d_model, G)
        module = activation(spec).to(self.device, self.dtype)
        x_NxGF, dy_NxF = self._buffer(G * F, True), self._buffer(F, False)
        run = executed(module, backend)
        cost = declared(module)
        if cost and cost.branches != G:
            raise TrialError(f"{spec} declares a cost of {cost.branches} branches and is registered with {G}")
        least = cost.least_bytes(self.axes.tokens, F, self.dtype.itemsize) if cost else 0
        flops = cost.flops(self.axes.tokens, F) if cost else 0
        inputs = (x_NxGF, *module.parameters())
        return Arm(lambda: run(x_NxGF), inputs, dy_NxF, module, module, run, G * F, least, flops)

    def _block(self, spec: str, backend: str) -> Arm:
        """The backend executes the activation only, as it does in a model."""
        module = FeedForward(self.axes.d_model, spec, backend).initialise(0).to(self.device, self.dtype)
        x_NxD, dy_NxD = self._buffer(self.axes.d_model, True), self._buffer(self.axes.d_model, False)
        flops = 6 * self.axes.tokens * _weights(module)
        inputs = (x_NxD, *module.parameters())
        return Arm(lambda: module(x_NxD), inputs, dy_NxD, module, *module.executed, 0, flops)

    def _decoder(self, spec: str, backend: str) -> Arm:
        """Forward to the loss and backward to every parameter; the optimizer is not in it."""
        axes = self.axes
        T = axes.seq_len
        shape = Shape(axes.layers, axes.d_model, axes.heads)
        module = Decoder(axes.vocabulary, shape, T, spec, backend).initialise(0).to(self.device, self.dtype)
        generator = torch.Generator().manual_seed(0)
        text_BxT = torch.randint(axes.vocabulary, (axes.tokens // T, T + 1), generator=generator).to(self.device)
        x_BxT, y_BxT = text_BxT[:, :-1], text_BxT[:, 1:]
        flops = axes.tokens * shape.flops_per_token(T, axes.vocabulary, branches(spec))
        first = module.layers[0].ffn
        assert isinstance(first, FeedForward)
        one = torch.ones((), device=self.device)
        return Arm(lambda: module(x_BxT, y_BxT)[0], tuple(module.parameters()), one, module, *first.executed, 0, flops)

    def tiny(self, spec: str, backend: str) -> Arm:
        """The same operators over a single token, where overhead is all there is."""
        small = self.axes.model_copy(update=_TINY)
        return Workshop(small, str(self.dtype).removeprefix("torch."), self.device).arm(spec, backend)

    def copy(self) -> Yardstick:
        """A copy of the hidden tensor, which is read once and written once."""
        source = self._buffer(4 * self.axes.d_model, True).detach()
        target = torch.empty_like(source)
        return Yardstick(lambda: target.copy_(source), 2 * source.numel() * source.element_size())

    def product(self) -> Yardstick:
        """The block's first product; beside an activation alone at most 256 rows of it."""
        D = self.axes.d_model
        rows = min(self.axes.tokens, _PRODUCT_ROWS) if self.axes.level == "activation" else self.axes.tokens
        weight_DxF = torch.randn(D, 4 * D, device=self.device).to(self.dtype)
        x_NxD = self._buffer(D, True).detach()[:rows]
        return Yardstick(lambda: x_NxD @ weight_DxF, 2 * rows * weight_DxF.numel())

    def _buffer(self, width: int, is_input: bool) -> Tensor:
        if (width, is_input) not in self._buffers:
            data = torch.randn(self.axes.tokens, width, device=self.device).to(self.dtype)
            self._buffers[width, is_input] = data.requires_grad_(is_input)
        return self._buffers[width, is_input]


def declared(module: nn.Module) -> Cost | None:
    """What an activation says that it costs; None where it says nothing, or nothing that could be so."""
    say = getattr(module, "cost", None)
    try:
        cost = say() if callable(say) else None
    except Exception:  # a plug-in that cannot say what it costs is measured all the same
        return None
    return cost if isinstance(cost, Cost) else None


def _weights(module: nn.Module) -> int:
    """Numbers in matrices, which are multiplied with every token."""
    return sum(p.numel() for p in module.parameters() if p.ndim >= 2)
