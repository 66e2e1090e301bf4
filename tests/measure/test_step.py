"""Laws of a training step as it is timed: the arithmetic of a training, thousands of times, and nothing moves."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from builders import items
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from polybench.errors import Unsupported
from polybench.measure.axes import LevelAxes
from polybench.measure.instruments.timer import CpuTimer
from polybench.measure.instruments.workshop import Arm, Workshop
from polybench.measure.model import compiled as made
from polybench.measure.model.build import chosen
from polybench.measure.model.decoder import Decoder
from polybench.measure.training_axes import TrainingAxes
from polybench.record import Measurement
from polybench.registry import activations
from polybench.trial import Cell, Trial

SMALL = {"level": "decoder", "tokens": 16, "d_model": 16, "layers": 1, "seq_len": 8, "vocabulary": 32}
EVERY = activations.names()
STEPS = 100


def decoder(name: str, backend: str = "eager", dtype: str = "float32", **axes: object) -> Arm:
    return Workshop(LevelAxes.model_validate({**SMALL, **axes}), dtype, "cpu").arm(chosen(name, backend))


def step(arm: Arm) -> None:
    assert arm.update
    arm.update(arm.backward(arm.forward()))


def loss_of(arm: Arm) -> float:
    return arm.forward().detach().item()


@pytest.mark.parametrize("name", EVERY)
def test_steps_leave_the_model_where_it_began(name: str) -> None:
    """So its arithmetic is that of the first step for ever: nothing overflows, dies or becomes denormal."""
    arm = decoder(name)
    began, loss = [p.detach().clone() for p in arm.inputs], loss_of(arm)
    before = arm.backward(arm.forward())
    for _ in range(STEPS):
        step(arm)
    moved = max(float((p.detach() - b).abs().max()) for p, b in zip(arm.inputs, began, strict=True))
    assert 0 < moved <= 2e-9 * STEPS  # by the rate at most, rounded up to the next number
    assert loss_of(arm) == pytest.approx(loss, abs=1e-3)
    after = arm.backward(arm.forward())
    for b, a, p in zip(before, after, arm.inputs, strict=True):
        assert torch.allclose(b, a, rtol=1e-2, atol=1e-5)
        assert p.grad is None
        assert a.stride() == p.stride()  # the fused step goes through both side by side


@pytest.mark.parametrize(("backend", "whole"), [("eager", False), ("checkpoint", False), ("eager", True)])
def test_a_step_is_timed_however_it_runs(backend: str, whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.torch, "compile", partial(torch.compile, backend="eager"))
    arm = decoder("polynorm", backend, compile=whole)
    assert loss_of(arm) == pytest.approx(loss_of(decoder("polynorm")), rel=1e-6)
    sample = CpuTimer(1).sample(arm)
    assert sample.update is not None
    assert sample.update > 0
    assert sample.step == sample.forward + sample.backward + sample.update


def test_the_state_of_the_optimizer_is_that_of_a_training() -> None:
    """First and second moments of what was clipped, three groups, and the rate alone is another."""
    arm = decoder("polynorm")
    gradients = arm.backward(arm.forward())
    norm = torch.stack([g.norm() for g in gradients]).norm()
    expected = [g * min(1.0, TrainingAxes().clip / float(norm)) * 0.1 for g in gradients]
    assert arm.update
    seen: list[torch.optim.Optimizer] = []
    hook = register_optimizer_step_post_hook(lambda it, *_: seen.append(it))
    arm.update(gradients)
    hook.remove()
    (optimizer,) = seen
    assert [len(g["params"]) for g in optimizer.param_groups] == [5, 3, 2]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [TrainingAxes().weight_decay, 0, 0]
    for parameter, average in zip(arm.inputs, expected, strict=True):
        state = optimizer.state[parameter]
        assert torch.allclose(state["exp_avg"], average, rtol=1e-4, atol=1e-9)
        squared = state["exp_avg_sq"]
        assert not ((squared > 0) & (squared < torch.finfo(torch.float32).smallest_normal)).any()


def test_only_what_could_be_trained_has_a_step() -> None:
    assert decoder("relu", dtype="bfloat16").update is None
    assert decoder("relu", dtype="float64").update is not None
    assert Workshop(LevelAxes(level="block", tokens=8, d_model=16), "float32", "cpu").arm(chosen("relu")).update is None
    small = Workshop(LevelAxes.model_validate({**SMALL, "heads": 4, "ffn_width": 40}), "float32", "cpu")
    assert small.tiny(chosen("relu")).update is None


def test_under_autocast_weights_are_wide_as_in_a_training() -> None:
    arm = decoder("polynorm", dtype="bfloat16", autocast=True)
    assert {p.dtype for p in arm.inputs} == {torch.float32}
    assert loss_of(arm) != loss_of(decoder("polynorm"))
    step(arm)
    with pytest.raises(Unsupported, match="autocast is to bfloat16"):
        decoder("polynorm", autocast=True)


def test_the_shape_is_the_one_that_is_asked_for() -> None:
    module = decoder("relu", heads=4, ffn_width=40, tied=False, qk_norm=True).module
    assert isinstance(module, Decoder)
    shape = module.shape
    assert (shape.heads, shape.ffn_width, shape.tied, shape.qk_norm) == (4, 40, False, True)
    assert module.head is not None
    with pytest.raises(ValueError, match="cannot be divided into 3 heads"):
        LevelAxes.model_validate({**SMALL, "heads": 3})


def test_a_plain_decoder_is_known_as_before_its_shape_could_be_said() -> None:
    plain = LevelAxes.model_validate(SMALL).deciding()
    assert plain == SMALL
    assert LevelAxes.model_validate({**SMALL, "heads": 1, "tied": True}).deciding() == plain
    other = {"heads": 2, "ffn_width": 40, "tied": False, "qk_norm": True, "compile": True, "autocast": True}
    assert LevelAxes.model_validate({**SMALL, **other}).deciding() == {**SMALL, **other}


def test_models_of_one_class_are_compiled_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the eighth torch would run them eagerly without a word."""
    graphs = []

    def counting(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(made.torch, "compile", partial(torch.compile, backend=counting))
    models = [nn.Linear(3, 2 + i % 3) for i in range(12)]
    calls = [made.compiled(model, ("test", i)) for i, model in enumerate(models)]
    x = torch.randn(4, 3)
    for _ in range(2):
        assert all(torch.equal(call(x), model(x)) for call, model in zip(calls, models, strict=True))
    assert len(graphs) == len(models)
    alike = nn.Linear(3, 2)  # as the first, with weights of its own: a second copy, or that of a forked process
    assert torch.equal(made.compiled(alike, ("test", 0))(x), alike(x))
    assert len(graphs) == len(models)


def test_speed_measures_whole_steps_of_a_decoder() -> None:
    cell = Cell("speed", 2, "relu", "eager", "cpu", "float32", tuple(sorted({**SMALL, "threads": 1}.items())))
    found = {
        i.metric: i.values
        for i in items(Trial("speed", cell, 0), blocks=2, warm_up=1, sample_s=1e-3)
        if isinstance(i, Measurement)
    }
    parts = zip(found["total_time"], found["update_time"], found["step_time"], strict=True)
    assert [total + update for total, update, _ in parts] == pytest.approx(list(found["step_time"]))
    assert len(found["step_time"]) == 2
