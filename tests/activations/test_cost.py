"""What activations declare about bytes and operations, held against what eager runs keep and move."""

from __future__ import annotations

import pytest
import torch
from test_activations import VARIANTS

from polybench.measure.axes import LevelAxes
from polybench.measure.instruments.allocation import moved_bytes, saved_bytes
from polybench.measure.instruments.workshop import Workshop, declared
from polybench.measure.model.build import activation, chosen
from polybench.registry import activations

# Dimension key: N rows, F hidden width, G branches, D model width.

ONE_OPERATOR = (
    "relu",
    "silu",
    "gelu",
    "gelu(approximate=tanh)",
)  # each way, so eager moves the least there is


@pytest.mark.parametrize("spec", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize(("N", "F"), [(1, 8), (3, 40), (16, 24)])
def test_eager_keeps_what_is_declared_to_the_byte(spec: str, dtype: torch.dtype, N: int, F: int) -> None:
    module = activation(spec).to(dtype)
    x_NxGF = torch.randn(N, chosen(spec).branches * F).to(dtype).requires_grad_()
    says = declared(module)
    assert says is not None
    assert saved_bytes(lambda: module(x_NxGF), module.parameters()) == says.saved_bytes(N, F, dtype.itemsize)


@pytest.mark.parametrize("spec", VARIANTS)
def test_eager_moves_no_less_than_the_least(spec: str) -> None:
    N, F = 4, 64
    module = activation(spec)
    x_NxGF, dy_NxF = torch.randn(N, chosen(spec).branches * F, requires_grad=True), torch.randn(N, F)
    says = declared(module)
    assert says is not None

    def both() -> None:
        torch.autograd.grad(module(x_NxGF), (x_NxGF, *module.parameters()), dy_NxF)

    moved, least = moved_bytes(both), says.least_bytes(N, F, 4)
    assert moved == moved_bytes(both)
    assert moved == least if spec in ONE_OPERATOR else moved > least


@pytest.mark.parametrize("name", activations.names())
def test_operations_are_declared_and_backward_has_no_fewer(name: str) -> None:
    says = declared(activation(name))
    assert says is not None
    assert says.branches == chosen(name).branches
    assert 0 < says.forward_flops <= says.backward_flops
    assert says.flops(2, 3) == 6 * (says.forward_flops + says.backward_flops)


@pytest.mark.parametrize("name", activations.names())
@pytest.mark.parametrize("level", ["block", "decoder"])
def test_a_level_counts_the_products_of_its_matrices(name: str, level: str) -> None:
    """Six operations a weight and token; of a decoder twelve more a layer, width and position for attention."""
    axes = LevelAxes.model_validate({"level": level, "tokens": 32, "d_model": 16, "seq_len": 8, "vocabulary": 32})
    arm = Workshop(axes, "float32", "cpu").arm(chosen(name))
    weights = sum(p.numel() for p in arm.module.parameters() if p.ndim == 2)
    attention = 12 * 2 * 16 * 8 if level == "decoder" else 0
    assert arm.flops == 32 * (6 * weights + attention)


def test_traffic_counts_inputs_and_outputs_and_no_view() -> None:
    x, y = torch.ones(100), torch.ones(100)
    assert moved_bytes(lambda: x + y) == 1200
    assert moved_bytes(lambda: x + x) == 800  # read once
    assert moved_bytes(lambda: x.view(10, 10).t()) == 0
    assert moved_bytes(lambda: torch.empty(1000)) == 0
    assert moved_bytes(lambda: x.add_(y)) == 1200
    assert moved_bytes(lambda: x + torch.ones(1).expand(100)) == 404 + 400 + 4
