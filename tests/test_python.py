"""polybench from Python: modules for one's own model, and records for a notebook."""

from __future__ import annotations

import math
from pathlib import Path

import pandas
import pytest
import torch
from builders import record, run, save

import polybench
from polybench.errors import RegistryError, ResultsError
from polybench.record import Status

PUBLISHED = Path(__file__).parent.parent / "results" / "published" / "quick"


def test_an_activation_is_a_module_with_its_options() -> None:
    module = polybench.activation("polynorm", order=2)
    assert isinstance(module, torch.nn.Module)
    assert module(torch.randn(2, 3, 16)).shape == (2, 3, 16)
    assert len(module.weight) == 2
    assert polybench.activation("swiglu")(torch.randn(2, 3, 16)).shape == (2, 3, 8)


def test_options_may_be_written_either_way() -> None:
    x = torch.randn(4, 8)
    one, other = polybench.activation("polynorm(norm=l2)"), polybench.activation("polynorm", norm="l2")
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize(("name", "options"), [("polynrm", {}), ("polynorm", {"order": 9}), ("relu", {"order": 2})])
def test_what_cannot_be_made_is_one_sentence(name: str, options: dict[str, int]) -> None:
    with pytest.raises(RegistryError):
        polybench.activation(name, **options)


def test_a_run_is_a_frame_with_a_row_a_value() -> None:
    frame = polybench.load(PUBLISHED)
    assert isinstance(frame, pandas.DataFrame)
    assert {"activation", "metric", "value", "unit", "seed", "status", "level", "lr"} <= set(frame.columns)
    losses = frame[frame.metric == "val_loss"]
    assert len(losses) == len(frame.activation.unique()) * len(losses.seed.unique())
    assert losses.value.map(math.isfinite).all()


def test_a_failed_trial_keeps_its_row(tmp_path: Path) -> None:
    failed = record("memory", "relu", status=Status.FAILED, error="planted")
    frame = polybench.load(save(run([failed]), tmp_path / "run"))
    assert list(frame.error) == ["planted"]
    with pytest.raises(ResultsError):
        polybench.load(tmp_path / "nothing")
