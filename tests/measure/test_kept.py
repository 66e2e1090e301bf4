"""What is kept for backward is counted wherever it is kept, once, and said where autograd's hooks are not shown it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from polybench.measure.axes import LevelAxes
from polybench.measure.instruments.allocation import Kept, kept
from polybench.measure.instruments.workshop import Workshop
from polybench.measure.model.build import chosen
from polybench.registry import activations

SIDE = 256
SIZE = SIDE * SIDE * 4


def softplus(keep: Callable[[Any, Tensor, Tensor], None]) -> Callable[[Tensor], Tensor]:
    """An autograd Function that keeps what it needs as `keep(ctx, x, y)` does; backward is not asked for."""

    class Softplus(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            y = functional.softplus(x)
            keep(ctx, x, y)
            return y

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Tensor:
            raise NotImplementedError

    call: Callable[[Tensor], Tensor] = Softplus.apply
    return call


class Holder:
    """Something that nobody looks into."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def on(**what: Callable[[Tensor, Tensor], Any]) -> Callable[[Any, Tensor, Tensor], None]:
    def keep(ctx: Any, x: Tensor, y: Tensor) -> None:
        for name, make in what.items():
            setattr(ctx, name, make(x, y))

    return keep


WAYS = [
    ("save_for_backward", lambda ctx, x, y: ctx.save_for_backward(x), Kept(SIZE, 0)),
    ("the input on ctx", on(x=lambda x, y: x), Kept(SIZE, SIZE)),
    ("a new tensor on ctx", on(s=lambda x, y: x.sigmoid()), Kept(SIZE, SIZE)),
    ("the output on ctx", on(y=lambda x, y: y), Kept(SIZE, SIZE)),
    ("the same twice, as views", on(a=lambda x, y: [x.t()], b=lambda x, y: {"x": x[1:]}), Kept(SIZE, SIZE)),
    ("both ways", lambda ctx, x, y: (ctx.save_for_backward(x), on(x=lambda x, y: x)(ctx, x, y)), Kept(SIZE, 0)),
    ("in an object", on(held=lambda x, y: Holder(x.sigmoid())), Kept(SIZE, SIZE)),
    ("in what backward calls", on(call=lambda x, y: x.sigmoid().mul), Kept(SIZE, SIZE)),
    ("one each", lambda ctx, x, y: (ctx.save_for_backward(y), on(s=lambda x, y: x.exp())(ctx, x, y)),
     Kept(2 * SIZE, SIZE)),
    ("nothing", on(n=lambda x, y: 3), Kept(0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("keep", "expected"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
def test_what_is_kept_counts_once_whichever_way_it_is_kept(
    keep: Callable[[Any, Tensor, Tensor], None], expected: Kept
) -> None:
    x, call = torch.randn(SIDE, SIDE, requires_grad=True), softplus(keep)
    assert [kept(lambda: call(x), (), "cpu") for _ in range(3)] == [expected] * 3


def test_what_was_let_go_before_the_end_is_not_kept() -> None:
    x = torch.randn(SIDE, SIDE, requires_grad=True)

    def forward() -> Tensor:
        x.exp().sigmoid()  # a graph of its own, which is gone
        cycle: list[Any] = [x.detach().exp()]
        cycle.append(cycle)  # garbage that only the collector finds
        return x * 2

    assert kept(forward, (), "cpu") == Kept(0, 0)  # not even the 2


def test_parameters_are_nobody_s_and_what_is_renewed_is_kept_once() -> None:
    x, weight = torch.randn(SIDE, SIDE, requires_grad=True), torch.randn(SIDE, SIDE, requires_grad=True)
    last: list[Tensor] = [torch.empty(SIDE, SIDE)]

    def forward() -> Tensor:
        last[0] = x.detach().exp()  # as statistics that a module renews at every call
        return x @ weight

    assert kept(forward, [weight], "cpu") == Kept(SIZE, 0)
    stash: list[Tensor] = []
    call = softplus(lambda ctx, x, y: stash.append(x.exp()))  # for a backward pass that takes it from there
    assert kept(lambda: call(x), (), "cpu") == Kept(SIZE, SIZE)
    call = softplus(on(w=lambda x, y: weight))
    assert kept(lambda: call(x), [weight], "cpu") == Kept(0, 0)


@pytest.mark.parametrize("level", ["activation", "block", "decoder"])
@pytest.mark.parametrize("backend", ["eager", "checkpoint"])
@pytest.mark.parametrize("name", activations.names())
def test_of_ours_the_hooks_see_all(name: str, backend: str, level: str) -> None:
    axes = LevelAxes.model_validate({"level": level, "tokens": 32, "d_model": 16, "seq_len": 8, "vocabulary": 32})
    arm = Workshop(axes, "float32", "cpu").arm(chosen(name, backend))
    arm.once()
    found = kept(arm.forward, arm.module.parameters(), "cpu")
    assert found.bytes > 0 and found.unseen == 0
