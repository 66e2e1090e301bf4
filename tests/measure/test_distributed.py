"""Two processes train the model that one trains, to rounding."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from polybench.errors import Unsupported
from polybench.measure.training.distributed import share
from polybench.ranks import Place

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys, numpy as np, torch
from polybench.corpora.corpus import Tokens
from polybench.measure.training.distributed import join
from polybench.measure.model.build import chosen
from polybench.measure.training.evaluation import held_out_loss
from polybench.measure.training_axes import TrainingAxes
from polybench.measure.training.loop import Training, set_up

def trained():
    torch.set_num_threads(1)
    stream = np.random.default_rng(0).integers(0, 17, 2000).astype(np.uint16)
    text = Tokens(stream[:1500], stream[1500:], np.ones(17, dtype=np.int64), "test")
    axes = TrainingAxes(d_model=16, layers=2, heads=2, seq_len=8, batch=8, accumulate=2, steps=5, lr=0.01, clip=0.3,
                        average=0.2, schedule="wsd", decay=0.4, finish_at="0.6", eval_tokens=64).filled()
    mine = join("cpu")
    found = {}
    for parallel in ("ddp", "fsdp"):
        for name, backend in (("gelu", "eager"), ("polynorm", "fused")):
            model = set_up(text, axes, chosen(name, backend), "cpu", "float64", 3)
            training = Training(model, text, axes, 0.01, "float64", 3, mine, parallel)
            held_out_loss(model, text, axes, "float64", mine.size)  # as a run does before its first step
            losses = [x for step in training.steps() for x in (step.loss, step.gradient_norm)]
            found[f"{parallel} {name}"] = losses + [held_out_loss(model, text, axes, "float64").nats]
    return {"count": mine.size, "losses": found}, mine.rank

if __name__ == "__main__":
    found, rank = trained()
    with open(f"{sys.argv[1]}.{rank}", "w") as file:
        json.dump(found, file)
    torch.distributed.destroy_process_group()
"""


def test_two_processes_give_the_losses_of_one(tmp_path: Path) -> None:
    """The one is this process."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, str(script), str(tmp_path / "two")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    two = [json.loads((tmp_path / name).read_text()) for name in ("two.0", "two.1")]
    try:
        one, _ = runpy.run_path(str(script))["trained"]()
    finally:
        torch.set_deterministic_debug_mode("default")
    assert [one["count"], two[0]["count"]] == [1, 2]
    assert two[0] == two[1]  # every process knows the loss of all
    assert one["losses"]["ddp gelu"] != one["losses"]["ddp polynorm"]
    for how, losses in two[0]["losses"].items():
        assert losses == pytest.approx(one["losses"][how], rel=1e-9), how


def test_rows_are_dealt_out_once_each_and_evenly() -> None:
    rows = list(range(12))
    shares = [share(Place(r, 3), rows) for r in range(3)]
    assert sorted(row for share in shares for row in share) == rows and {len(s) for s in shares} == {4}
    assert share(Place(), rows) == rows
    with pytest.raises(Unsupported, match="12 sequences cannot be divided over 5 processes"):
        share(Place(0, 5), rows)
