"""What is timed is taken to other memory between blocks, and is the same there."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from polybench.measure.axes import LevelAxes
from polybench.measure.instruments.workshop import Workshop
from polybench.measure.model.build import chosen

LEVELS = get_args(LevelAxes.model_fields["level"].annotation)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_moved_lies_elsewhere_and_computes_the_same(level: str) -> None:
    axes = LevelAxes.model_validate({"level": level, "tokens": 64, "d_model": 32, "seq_len": 32, "vocabulary": 64})
    workshop = Workshop(axes, "float32", "cpu")
    copy, product = workshop.copy(), workshop.product()
    arms = [workshop.arm(chosen(name)) for name in ("swiglu", "swiglu", "polynorm")]

    def results() -> list[torch.Tensor]:
        outputs = [arm.forward() for arm in arms]
        gradients = [torch.autograd.grad(y, a.inputs, a.gradient) for y, a in zip(outputs, arms, strict=True)]
        yards = [yard.call() for yard in (copy, product)]
        found = [*outputs, *(g for some in gradients for g in some), *yards]
        return [v.detach().clone() for v in found if isinstance(v, torch.Tensor)]

    before = results()
    inputs = {id(t): t.data_ptr() for arm in arms for t in arm.inputs}
    workshop.move(1)
    moved = [t.data_ptr() != inputs[id(t)] for arm in arms for t in arm.inputs]
    assert sum(moved) > len(moved) / 2  # one may get the place that another has left
    assert all(map(torch.equal, before, results()))


def test_the_activations_of_a_cell_read_one_input_wherever_it_lies() -> None:
    workshop = Workshop(LevelAxes(tokens=64, d_model=32), "float32", "cpu")
    one, other = (workshop.arm(chosen("swiglu")) for _ in range(2))
    for seed in range(3):
        workshop.move(seed)
        assert one.inputs[0] is other.inputs[0]
        assert one.inputs[0].is_leaf and one.inputs[0].requires_grad
