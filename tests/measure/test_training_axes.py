"""The axes of a training: what is left out follows from a preset or from depth, and what is said stays."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from polybench.kind import axes_of, kind_of
from polybench.measure.annealing import looks, warm_steps
from polybench.measure.presets import PRESETS, recipe
from polybench.measure.shape import Shape
from polybench.measure.training_axes import TrainingAxes, training_seconds


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_shape_its_length_and_its_vocabulary(preset: str) -> None:
    axes, known = TrainingAxes(preset=preset).filled(), PRESETS[preset]
    assert axes.shape == known.shape
    assert (axes.seq_len, axes.tokenizer) == (known.seq_len, f"bpe-{known.vocabulary}")
    assert (axes.batch, axes.lr) == recipe(known.shape, known.seq_len)


@pytest.mark.parametrize("depth", range(1, 13))
def test_one_dial_sets_all_sizes_and_grows_them(depth: int) -> None:
    here, deeper = (TrainingAxes(depth=d).filled() for d in (depth, depth + 1))
    assert here.layers == depth and deeper.d_model > here.d_model
    assert deeper.batch >= here.batch and deeper.lr < here.lr


@pytest.mark.parametrize("base", [{}, {"preset": "124M"}, {"depth": 4}, {"preset": "olmoe"}])
@pytest.mark.parametrize(
    "said",
    [{"layers": 3}, {"d_model": 128, "heads": 2}, {"ffn_width": 77}, {"tied": False}, {"qk_norm": True},
     {"experts": 8, "top_k": 2}, {"experts": 0}, {"seq_len": 32}, {"batch": 12}, {"lr": 0.5}, {"tokenizer": "bytes"}],
)  # fmt: skip
def test_every_part_can_be_said(base: dict[str, Any], said: dict[str, Any]) -> None:
    axes = TrainingAxes(**base, **said).filled()
    assert {k: getattr(axes, k) for k in said} == said


@pytest.mark.parametrize(
    "base",
    [
        {},
        {"preset": "0.3M"},
        {"depth": 3},
        {"experts": 4},
        {"schedule": "wsd"},
        {"average": 0.1, "zero_output": True},
        {"schedule": "wsd", "finish_at": "0.9+0.5+0.9"},
    ],
)
def test_a_cell_holds_what_was_meant_and_means_the_same_when_read_again(base: dict[str, Any]) -> None:
    kind = kind_of("pretrain")
    cell = axes_of(kind, base)
    assert axes_of(kind, dict(cell)) == cell
    assert kind.axes(**dict(cell)).filled() == TrainingAxes(**base).filled()
    assert not {"preset", "depth"} & {name for name, _ in cell}
    assert ("top_k" in dict(cell)) == bool(base.get("experts"))


def test_the_same_model_by_another_name_is_the_same_cell() -> None:
    kind = kind_of("pretrain")
    shape = PRESETS["0.3M"].shape
    assert isinstance(shape, Shape)
    said = {"layers": shape.layers, "d_model": shape.d_model, "heads": shape.heads, "seq_len": 128,
            "tokenizer": "bpe-1024", "batch": 16, "lr": 0.01}  # fmt: skip
    assert axes_of(kind, said) == axes_of(kind, {"preset": "0.3M", "batch": 16, "lr": 0.01})


@pytest.mark.parametrize(
    ("said", "message"),
    [({"preset": "9T"}, "there is no preset '9T'"), ({"preset": "1M", "depth": 2}, "leave one away"),
     ({"d_model": 50}, "d_model 50 cannot be divided into 2 heads"), ({"experts": 2, "top_k": 3}, "top_k 3 of 2"),
     ({"warm_up": 0.9, "schedule": "wsd"}, "more than all of the steps"), ({"batch": 5, "accumulate": 2}, "batch 5"),
     ({"finish_at": 0.5}, "take schedule: wsd"), ({"finish_at": "a+b", "schedule": "wsd"}, "no list of shares"),
     ({"finish_at": "0.5+1", "schedule": "wsd"}, "between 0 and 1"),
     ({"finish_at": "0.2", "schedule": "wsd", "warm_up": 0.2}, "within the warm-up of 40 steps"),
     ({"finish_at": "0.5", "schedule": "wsd", "average": 0.3}, "reaches beyond the decay")],
)  # fmt: skip
def test_what_cannot_be_is_said(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingAxes(**said)


def test_more_work_takes_longer_by_the_plan() -> None:
    base = training_seconds(TrainingAxes())
    branches = {"schedule": "wsd", "finish_at": 0.7}
    for more in (
        branches,
        {"steps": 400},
        {"layers": 4},
        {"d_model": 128},
        {"batch": 32},
        {"seq_len": 128},
        {"accumulate": 4},
    ):
        assert training_seconds(TrainingAxes(**more)) > base
    longer = training_seconds(TrainingAxes(batch=1, seq_len=1024))
    assert longer > training_seconds(TrainingAxes(batch=16, seq_len=64)), "attention hangs on the length"
    dense, mixed = (TrainingAxes(experts=8, top_k=k, ffn_width=256) for k in (1, 4))
    assert training_seconds(mixed) > training_seconds(dense), "a token meets more weights"


def test_a_rise_has_a_step_where_it_has_a_share_and_looks_are_even_and_end_with_the_training() -> None:
    assert [warm_steps(share, 40) for share in (0.0, 0.001, 0.1)] == [0, 1, 4]
    assert looks(40, 4) == {10, 20, 30, 40} and looks(2, 8) == {1, 2}
