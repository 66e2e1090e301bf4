"""Every suite that asks a claim of arXiv:2411.03884 runs: each of its kinds, on its first two activations, shrunken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builders import items
from pictures import idx_folder
from yaml import safe_load

from polybench.kind import Note
from polybench.plan.check import load_suite
from polybench.plan.jobs import plan
from polybench.plan.tuning import TUNING
from polybench.record import Measurement

# What the theory is asked of nets has values of its own that are small: tests/measure/test_approximation.py.
PAPER = [path for path in sorted(Path("suites/paper").glob("*.yaml")) if path.stem != "theory"]
SMALL = {
    "pretrain": ("layers=1", "d_model=32", "heads=2", "seq_len=16", "batch=2", "steps=8", "tokenizer=bytes",
                 "include=[]", "eval_tokens=64", "corpus=text:docs/*.md", "finish_at=",
                 "eval_corpora=text:docs/*.md"),
    "speed": ("tokens=128", "d_model=32"),
    "memory": ("tokens=16", "d_model=32"),
    "accuracy": ("width=64",),
    "vision": ("images=idx:{images}", "width=4", "batch=8"),
}  # fmt: skip
PROTOCOL = {"pretrain": {"evaluations": 1}, "speed": {"blocks": 2, "sample_s": 1e-4}}


def shrunken(part: dict[str, Any], images: Path) -> list[str]:
    eager = ["compile=false"] if "compile" in part.get("matrix", ()) else []
    axes = [f"{part['name']}.matrix.{value.format(images=images)}" for value in (*SMALL[part["kind"]], *eager)]
    return [*axes, "seeds=[0]"]


def benchmarks(path: Path) -> list[dict[str, Any]]:
    data = safe_load(path.read_text(encoding="utf-8"))
    extended = path.parent / data["extends"] if "extends" in data else None
    found: list[dict[str, Any]] = data.get("benchmarks") or (benchmarks(extended) if extended else [])
    return found


@pytest.mark.parametrize("path", sorted(Path("suites/paper/gpu").glob("*.yaml")), ids=lambda p: p.stem)
def test_on_a_gpu_a_suite_asks_the_same_of_the_same(path: Path) -> None:
    there, here = (load_suite(p).suite for p in (path, path.parent.parent / path.name))
    assert (there.claims, there.activations, there.seeds) == (here.claims, here.activations, here.seeds)
    assert len(plan(there, "cuda").trials) > 0 and there.device == "cuda"


@pytest.mark.parametrize("path", PAPER, ids=lambda p: p.stem)
def test_a_suite_of_the_paper_runs_shrunken(path: Path, tmp_path: Path) -> None:
    parts, images = benchmarks(path), idx_folder(tmp_path)
    overrides = [text for part in parts for text in shrunken(part, images)]
    made = plan(load_suite(path, overrides).suite, "cpu")
    for part in parts:
        own = [t for t in made.trials if t.benchmark.removesuffix(TUNING) == part["name"]]
        eager = [t for t in own if t.cell.backend == "eager"]
        trials = {t.cell.activation: t for t in eager if dict(t.cell.axes).get("lr") != "tuned"}  # but its tuning
        for trial in list(trials.values())[:2]:
            found = list(items(trial, **PROTOCOL.get(part["kind"], {})))
            assert any(isinstance(item, Measurement) for item in found)
            assert not [item for item in found if isinstance(item, Exception | Note)]
