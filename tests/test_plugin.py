"""A user's own activation, really installed with pip, gets every kind, law and report for free."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = """
suite: cube
activations: [swiglu, cube, cube(sign=-1)]
reference: swiglu
seeds: [0, 1]
benchmarks:
  - {name: speed, kind: speed, matrix: {tokens: 16, d_model: 16}, protocol: {launches: 1, blocks: 8, sample_s: 0.0001}}
  - {name: memory, kind: memory, matrix: {tokens: 16, d_model: 16}}
  - {name: curve, kind: loss_curve, matrix: {corpus: "text:TEXT", d_model: 16, seq_len: 8, batch: 2, steps: 4}}
  - {name: pretrain, kind: pretrain,
     matrix: {corpus: "text:TEXT", d_model: 16, seq_len: 8, batch: 2, steps: 4, eval_tokens: 64}}
gate: [{metric: saved_bytes}]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the package."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "polybench_cube.py"):
        (source / name).write_bytes((HERE / "plugin" / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(target), str(source)], check=True)
    path = os.pathsep.join([str(target), str(HERE.parent)])
    return {**os.environ, "PYTHONPATH": path, "POLYBENCH_CACHE": str(target / "cache")}


def polybench(environment: dict[str, str], cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "polybench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd)


def test_the_example_is_short() -> None:
    assert len((HERE / "plugin" / "polybench_cube.py").read_text(encoding="utf-8").splitlines()) <= 30


def test_it_is_listed_with_its_origin(installed: dict[str, str], tmp_path: Path) -> None:
    entries = json.loads(polybench(installed, tmp_path, "list", "--json").stdout)["activations"]
    (cube,) = [e for e in entries if e["name"] == "cube"]
    assert "polybench-cube" in cube["origin"]
    assert cube["options"] == {"sign": 1}


def test_it_passes_the_laws_of_every_activation(installed: dict[str, str]) -> None:
    laws = [str(HERE / name) for name in ("activations/test_activations.py", "measure/test_loop.py")]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "cube", *laws]
    done = subprocess.run(command, capture_output=True, text=True, env=installed, cwd=HERE.parent)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) >= 15


@pytest.mark.usefixtures("one_core")
def test_it_gets_every_kind_and_report(installed: dict[str, str], tmp_path: Path) -> None:
    for i in range(4):
        (tmp_path / f"{i}.txt").write_text(f"words of document {i} " * 60, encoding="utf-8")
    suite = tmp_path / "cube.yaml"
    suite.write_text(SUITE.replace("TEXT", f"{tmp_path}/*.txt"), encoding="utf-8")
    ran = polybench(installed, tmp_path, "run", str(suite), "--out", "run")
    assert ran.returncode == 0, ran.stderr
    reported = polybench(installed, tmp_path, "report", "run")
    assert reported.returncode == 0, reported.stderr
    for suffix in ("html", "md", "csv.gz", "json"):
        written = (tmp_path / "run" / f"report.{suffix}").read_bytes()
        assert b"cube(sign=-1)" in (gzip.decompress(written) if suffix.endswith("gz") else written)
    assert polybench(installed, tmp_path, "baseline", "save", "run", "--name", "kept").returncode == 0
    assert polybench(installed, tmp_path, "gate", "run", "--baseline", "kept").returncode == 0


def test_a_broken_package_breaks_nothing_else(tmp_path: Path) -> None:
    sources = {"broken": "def (", "twin": "@activations.register('relu')\nclass R: 'Another.'", "silent": "x = 1"}
    for name, source in sources.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}_module.py").write_text(source, encoding="utf-8")
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[polybench]\n{name} = {name}_module\n", encoding="utf-8")
    each = {name: {**os.environ, "PYTHONPATH": f"{tmp_path / name}{os.pathsep}{HERE.parent}"} for name in sources}
    told = {"broken": "broken: broken_module.py", "silent": "broken: silent_module registers nothing",
            "twin": "called 'relu', of polybench/activations/relu.py and of twin (twin_module); rename"}  # fmt: skip
    for name, words in told.items():
        listed = polybench(each[name], tmp_path, "list")
        assert listed.returncode == 0
        assert words in " ".join(listed.stdout.split())
