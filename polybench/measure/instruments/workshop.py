"""Makes what is executed: an activation, its block or a whole decoder, over buffers that all of them share."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from polybench.cost import Cost
from polybench.errors import TrialError, Unsupported
from polybench.measure.axes import LevelAxes
from polybench.measure.instruments.watching import Ran, ran_alone, watch
from polybench.measure.model.build import Chosen, Executed
from polybench.measure.model.compiled import compiled
from polybench.measure.model.decoder import Decoder
from polybench.measure.model.feed_forward import FeedForward
from polybench.measure.model.optimizer import adamw, update
from polybench.measure.shape import hidden_width
from polybench.measure.training_axes import TrainingAxes

# Dimension key: N tokens, B batch, T time, D model width, F hidden width, G branches, V vocabulary, L layers.

_PRODUCT_ROWS = 256  # of the product beside an activation alone: enough for the full rate of a core
_PIECES, _LARGEST_PIECE = 64, 21.0  # 8 MiB of float32 as a power of two, as large as the tensors that are timed
# Where overhead is all there is.
_TINY = {"tokens": 1, "d_model": 8, "seq_len": 1, "vocabulary": 8, "heads": None, "ffn_width": None}
# Of the updates that are timed. The parameters stay where they began: 10,000 steps over one batch move its loss by less
# than a hundredth of a nat, so that no gradient dies down to numbers that are slow to add and no weight runs away.
_RATE = 1e-9
_TRAINED = (torch.float32, torch.float64)  # what weights are in a training; narrower ones lose its small steps


@dataclass(frozen=True)
class Arm:
    """One thing to execute: `forward()` gives an output, whose gradients go to `inputs`.

    `least_bytes` is the least that forward and backward move, 0 where nothing is declared; `flops` what they
    compute: all of the activation's operations, or the products of a block or decoder. `update` takes the gradients of
    a model that a training could have: clipping and the optimizer's step, which are what is left of a training's step.
    """

    forward: Callable[[], Tensor]
    inputs: tuple[Tensor, ...]
    gradient: Tensor  # of the output; given, so that no reduction is timed
    module: nn.Module
    activation: Executed  # inside of the module, or the module itself
    least_bytes: int = 0
    flops: int = 0
    update: Callable[[Sequence[Tensor]], None] | None = None

    def backward(self, output: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(output, self.inputs, self.gradient)

    def once(self) -> None:
        """Forward and backward."""
        self.backward(self.forward())


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

    def arm(self, activation: Chosen) -> Arm:
        """Raises Unsupported when the backend cannot serve this machine."""
        make = {"activation": self._alone, "block": self._block, "decoder": self._decoder}[self.axes.level]
        return make(activation)

    def _alone(self, activation: Chosen) -> Arm:
        G = activation.branches
        F = hidden_width(self.axes.d_model, G)
        module = activation.module().to(self.device, self.dtype)
        x_NxGF, dy_NxF = self._buffer(G * F, True), self._buffer(F, False)
        run = activation.executed(module)
        cost = declared(module)
        if cost and cost.branches != G:
            told = f"declares a cost of {cost.branches} branches and is registered with {G}"
            raise TrialError(f"{activation.spec} {told}")
        return Arm(
            forward=lambda: run(x_NxGF),
            inputs=(x_NxGF, *module.parameters()),
            gradient=dy_NxF,
            module=module,
            activation=Executed(module, run, G * F),
            least_bytes=cost.least_bytes(self.axes.tokens, F, self.dtype.itemsize) if cost else 0,
            flops=cost.flops(self.axes.tokens, F) if cost else 0,
        )

    def _block(self, activation: Chosen) -> Arm:
        """The backend executes the activation only, as it does in a model."""
        module = FeedForward(self.axes.d_model, activation).initialise(0).to(self.device, self.dtype)
        x_NxD, dy_NxD = self._buffer(self.axes.d_model, True), self._buffer(self.axes.d_model, False)
        return Arm(
            forward=lambda: module(x_NxD),
            inputs=(x_NxD, *module.parameters()),
            gradient=dy_NxD,
            module=module,
            activation=module.executed,
            flops=6 * self.axes.tokens * _weights(module),
        )

    def _decoder(self, activation: Chosen) -> Arm:
        """Forward to the loss, backward to every parameter, and the optimizer, where such a model could be trained."""
        axes, T = self.axes, self.axes.seq_len
        module = Decoder(axes.vocabulary, axes.shape, T, activation).initialise(0).to(self.device, self.weights)
        built = activation.spec, axes, self.dtype, self.device
        run = compiled(module, built) if axes.compile else module
        generator = torch.Generator().manual_seed(0)
        text_BxT = torch.randint(axes.vocabulary, (axes.tokens // T, T + 1), generator=generator).to(self.device)
        x_BxT, y_BxT = text_BxT[:, :-1], text_BxT[:, 1:]
        first = module.layers[0].ffn
        assert isinstance(first, FeedForward)

        def forward() -> Tensor:
            with torch.autocast(x_BxT.device.type, self.dtype, enabled=axes.autocast):
                loss: Tensor = run(x_BxT, y_BxT)[0]
            return loss

        return Arm(
            forward=forward,
            inputs=tuple(module.parameters()),
            gradient=torch.ones((), device=self.device),
            module=module,
            activation=first.executed,
            flops=axes.tokens * axes.shape.flops_per_token(T, axes.vocabulary, activation.branches),
            update=_updating(module) if self.weights in _TRAINED else None,
        )

    def ran(self, arm: Arm, activation: Chosen) -> Ran:
        """What an arm that was called before runs: all of a decoder that is compiled, else the activation alone.

        Raises Unsupported where that was to be compiled and is not.
        """
        if self.axes.compile:
            ran = watch(lambda: [arm.forward()], lambda results: arm.backward(results[0]))
        else:
            ran = ran_alone(arm.activation, (self.axes.tokens,), self.weights, self.device)
        if self.axes.compile or activation.compiles:
            ran.held_to_be_compiled()
        return ran

    @property
    def weights(self) -> torch.dtype:
        """The type of parameters; under autocast wider than that of what is computed."""
        if self.axes.level != "decoder" or not self.axes.autocast:
            return self.dtype
        if self.dtype != torch.bfloat16:
            raise Unsupported("autocast is to bfloat16; say dtypes: [bfloat16] or leave it away")
        return torch.float32

    def tiny(self, activation: Chosen) -> Arm:
        """Forward and backward of the same operators over a single token, where overhead is all there is."""
        small = self.axes.model_copy(update=_TINY)
        arm = Workshop(small, str(self.dtype).removeprefix("torch."), self.device).arm(activation)
        return replace(arm, update=None)

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


def scattered(seed: int) -> list[Tensor]:
    """Memory of random sizes, of which random pieces are given back; for as long as the rest is kept, what is made
    lies elsewhere than in another process with the same heap. Untouched, so it takes no memory of the machine."""
    draw = random.Random(f"scattered/{seed}")
    pieces = [torch.empty(int(2 ** draw.uniform(6, _LARGEST_PIECE))) for _ in range(_PIECES)]
    return [piece for piece in pieces if draw.random() < 0.5]


def declared(module: nn.Module) -> Cost | None:
    """What an activation says that it costs; None where it says nothing, or nothing that could be so."""
    say = getattr(module, "cost", None)
    try:
        cost = say() if callable(say) else None
    except BaseException:  # a plug-in that cannot say what it costs is measured all the same
        return None
    return cost if isinstance(cost, Cost) else None


def _updating(module: nn.Module) -> Callable[[Sequence[Tensor]], None]:
    """What a training does with gradients. Its optimizer is made when first used: that takes seconds of imports."""
    parameters, usual = tuple(module.parameters()), TrainingAxes.model_validate({})

    @cache
    def optimizer() -> torch.optim.AdamW:
        return adamw(module, _RATE, usual.weight_decay)

    def take(gradients: Sequence[Tensor]) -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        update(optimizer(), usual.clip)

    return take


def _weights(module: nn.Module) -> int:
    """Numbers in matrices, which are multiplied with every token."""
    return sum(p.numel() for p in module.parameters() if p.ndim >= 2)
